import { defineConfig } from "vitest/config";
import type { Plugin } from "vite";

/** Holds the first paint until the theme is known: a stored choice must not flash the other one. */
const paintAfterTheme: Plugin = {
  name: "paint-after-theme",
  transformIndexHtml: {
    order: "post",
    handler: (html) => html.replace('<script type="module"', '<script type="module" blocking="render"'),
  },
};

export default defineConfig({
  // Relative, so that the client also works under a path prefix behind a proxy.
  base: "./",
  plugins: [paintAfterTheme],
  build: {
    target: ["chrome123", "firefox128", "safari17.5"],
    // The policy has no `data:` for fonts, and inlined assets would need it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "assets/licenses.md" },
    // The bundle of Swagger UI; only its own page loads it.
    chunkSizeWarningLimit: 2000,
    rolldownOptions: { input: ["index.html", "docs/index.html", "docs/openapi.html", "docs/asyncapi.html"] },
  },
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8000", ws: true, changeOrigin: true, rewriteWsOrigin: true } } },
  test: { include: ["tests/**/*.test.ts"] },
});
