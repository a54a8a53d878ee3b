"""What this machine can do (`found`), the choices made for it (`chosen`, `measured`) and what is kept (`recorded`)."""

from vitscope.machine.chosen import Choices, choose
from vitscope.machine.compilers import Compiler, find_compiler
from vitscope.machine.found import Gpu, Machine, cpu_facts, physical_cores, probe
from vitscope.machine.heap import give_back_freed_memory, keep_freed_memory
from vitscope.machine.recorded import environment, installed_version

__all__ = [
    "Choices",
    "Compiler",
    "Gpu",
    "Machine",
    "choose",
    "cpu_facts",
    "environment",
    "find_compiler",
    "give_back_freed_memory",
    "installed_version",
    "keep_freed_memory",
    "physical_cores",
    "probe",
]
