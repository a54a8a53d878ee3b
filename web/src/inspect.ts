/** The offline page. The documents are in it; nothing is loaded. */
import { mount } from "svelte";
import InspectPage from "./inside/InspectPage.svelte";
import { language } from "./i18n/language.svelte";
import { startPrinting } from "./printing.svelte";
import { theme } from "./theme.svelte";
import "./tokens.css";
import "./base.css";

theme.start();
startPrinting();
document.documentElement.lang = language.locale;
mount(InspectPage, { target: document.getElementById("app")! });
