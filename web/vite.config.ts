import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, defineConfig, type Plugin } from "vite";

/** Where the gateway takes the page from. `MIMIR_WEB_OUT` builds it elsewhere, to compare. */
const out = process.env["MIMIR_WEB_OUT"] ?? join(import.meta.dirname, "../src/gateway/web");

const MEDIA: Record<string, string> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  png: "image/png",
  svg: "image/svg+xml",
  webmanifest: "application/manifest+json",
};

/** What makes the page an app. The names are those before their content is in them. */
const ICONS = ["icon-192", "icon-512", "mask-512"];
const TAGS: [tag: "link" | "meta", attrs: Record<string, string>][] = [
  ["link", { rel: "manifest", href: "/assets/page.webmanifest" }],
  ["link", { rel: "apple-touch-icon", href: "/assets/mask-512.png" }],
  ["meta", { name: "mimir-worker", content: "/assets/worker.js" }],
  ["meta", { name: "mimir-terminal", content: "/assets/terminal.js" }],
];

/** What browsers are told when somebody installs the page. */
function manifest(): string {
  const icons = ICONS.map((name) => {
    const size = name.split("-")[1] ?? "";
    const purpose = name.startsWith("mask") ? "maskable" : "any";
    return { src: `/assets/${name}.png`, sizes: `${size}x${size}`, type: "image/png", purpose };
  });
  const words = { name: "mimir", short_name: "mimir", description: "Agents in frames: what they do, what they ask, what they cost." };
  const look = { display: "standalone", background_color: "#16181d", theme_color: "#16181d" };
  return JSON.stringify({ ...words, id: "/", start_url: "/", scope: "/", lang: "en", ...look, icons });
}

/** A script built by itself: it is loaded by itself, and shares nothing with the page. */
async function alone(source: string, name: string): Promise<string> {
  const made = await build({
    configFile: false,
    root: import.meta.dirname,
    publicDir: false,
    logLevel: "warn",
    build: {
      write: false,
      target: "es2023",
      modulePreload: false,
      rolldownOptions: { input: join(import.meta.dirname, source), preserveEntrySignatures: "strict", output: { entryFileNames: name, codeSplitting: false } },
    },
  });
  const outputs = Array.isArray(made) ? made : [made];
  const [chunk] = outputs.flatMap((one) => ("output" in one ? one.output : []));
  if (chunk?.type !== "chunk") throw new Error(`${name} was not built`);
  return chunk.code;
}

/** Adds what makes the page an app: manifest, icons, service worker, and the file of the terminal. */
function addApp(): Plugin {
  return {
    name: "add-app",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: () => TAGS.map(([tag, attrs]) => ({ tag, attrs, injectTo: "head" as const })),
    },
    async generateBundle() {
      for (const name of ICONS) {
        const source = readFileSync(join(import.meta.dirname, `src/icons/${name}.png`));
        this.emitFile({ type: "asset", fileName: `${name}.png`, source });
      }
      this.emitFile({ type: "asset", fileName: "page.webmanifest", source: manifest() });
      this.emitFile({ type: "asset", fileName: "worker.js", source: await alone("src/worker.ts", "worker.js") });
      // Large, and only for whoever opens a terminal.
      this.emitFile({ type: "asset", fileName: "terminal.js", source: await alone("src/terminal/screen.ts", "terminal.js") });
    },
  };
}

/** Lists the built files for the compiler, so that the program carries them. */
function listForRust(): Plugin {
  return {
    name: "list-for-rust",
    apply: "build",
    closeBundle() {
      const folder = join(out, "assets");
      const names = readdirSync(folder).filter((name) => name !== "index.html").sort();
      const entries = names.map((name) => {
        const media = MEDIA[name.split(".").at(-1) ?? ""];
        if (media === undefined) throw new Error(`${name}: which media type?`);
        return [
          "    File {",
          `        name: ${JSON.stringify(name)},`,
          `        media: ${JSON.stringify(media)},`,
          `        bytes: include_bytes!(${JSON.stringify(`assets/${name}`)}),`,
          "    },",
        ].join("\n");
      });
      const text = [
        "//! The page's files. Written by `scripts/web`; change web/ instead.",
        "",
        "use super::File;",
        "",
        "/// The page itself.",
        'pub(super) const INDEX: &[u8] = include_bytes!("assets/index.html");',
        "",
        "/// What it is made of. A name holds the hash of what is in it.",
        "pub(super) const FILES: &[File] = &[",
        ...entries,
        "];",
        "",
      ].join("\n");
      writeFileSync(join(out, "files.rs"), text);
    },
  };
}

/** A name that changes with the content, in letters that every file system keeps. */
function hashed(source: string | Uint8Array): string {
  return createHash("sha256").update(source).digest("hex").slice(0, 16);
}

/** Names files by what is in them. Only the page and its manifest name them; the manifest is named last, for what it names. */
function nameByContent(): Plugin {
  return {
    name: "name-by-content",
    apply: "build",
    enforce: "post",
    writeBundle() {
      const folder = join(out, "assets");
      const isManifest = (name: string) => name.endsWith(".webmanifest");
      const names = readdirSync(folder).filter((name) => name !== "index.html");
      const naming = ["index.html", ...names.filter(isManifest)];
      for (const name of [...names.filter((name) => !isManifest(name)), ...names.filter(isManifest)]) {
        const content = readFileSync(join(folder, name));
        const named = name.replace(".", `-${hashed(content)}.`);
        writeFileSync(join(folder, named), content);
        rmSync(join(folder, name));
        const changed = naming.filter((other) => other !== name && replace(join(folder, other), `"/assets/${name}"`, `"/assets/${named}"`));
        if (changed.length === 0) throw new Error(`neither the page nor its manifest names ${name}`);
      }
    },
  };
}

/** Replaces words in a file; says whether they were there. */
function replace(path: string, words: string, others: string): boolean {
  const text = readFileSync(path, "utf8");
  if (text.includes(words)) writeFileSync(path, text.replaceAll(words, others));
  return text.includes(words);
}

export default defineConfig(({ isSsrBuild }) => ({
  base: "/assets/",
  publicDir: false,
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: isSsrBuild
    ? {}
    : {
        outDir: join(out, "assets"),
        emptyOutDir: true,
        assetsDir: "",
        // The policy of the page allows no script that is written into it.
        modulePreload: { polyfill: false },
        assetsInlineLimit: 0,
        cssCodeSplit: false,
        target: "es2023",
        rolldownOptions: {
          output: { entryFileNames: "page.js", assetFileNames: "page[extname]", codeSplitting: false },
        },
      },
  plugins: isSsrBuild ? [] : [makeFolder(), addApp(), nameByContent(), listForRust()],
}));

function makeFolder(): Plugin {
  return { name: "make-folder", apply: "build", buildStart: () => void mkdirSync(out, { recursive: true }) };
}
