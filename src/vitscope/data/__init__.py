"""From any source of pictures to batches: sources → manifest → checks → split → augment → loader."""
