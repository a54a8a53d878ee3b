import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

const OUT = "../src/vitscope/dashboard/static";

/** Puts the built script and styles into the page itself, so that `inspect.html` is one file that opens from disk. */
function inline(): Plugin {
  return {
    name: "vitscope-inline",
    enforce: "post",
    generateBundle(_, bundle) {
      const page = bundle["inspect.html"];
      if (page?.type !== "asset") return;
      let html = String(page.source);
      for (const [name, part] of Object.entries(bundle)) {
        const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
        if (part.type === "chunk") {
          const code = part.code.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
          html = html.replace(new RegExp(`<script[^>]*src="[^"]*${escaped}"[^>]*></script>`), "");
          html = html.replace("</body>", () => `<script type="module">${code}</script>\n</body>`);
        } else if (name.endsWith(".css")) {
          const styles = String(part.source);
          html = html.replace(new RegExp(`<link[^>]*href="[^"]*${escaped}"[^>]*>`), () => `<style>${styles}</style>`);
        } else continue;
        delete bundle[name];
      }
      page.source = html;
    },
  };
}

/** Two builds into one folder: the dashboard (`vite build`), and the offline page (`vite build --mode inspect`). */
export default defineConfig(({ mode }) => {
  const isInspect = mode === "inspect";
  return {
    base: "./",
    plugins: [svelte(), ...(isInspect ? [inline()] : [])],
    build: {
      outDir: OUT,
      emptyOutDir: !isInspect,
      target: "es2023",
      assetsInlineLimit: isInspect ? 100_000_000 : 4096,
      rollupOptions: { input: isInspect ? "inspect.html" : "index.html" },
      modulePreload: { polyfill: false },
    },
    server: { proxy: { "/api": "http://127.0.0.1:8420" } },
    test: { environment: "jsdom", include: ["tests/**/*.test.ts"] },
    resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  };
});
