import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** Where the gateway takes the page from. `MIMIR_WEB_OUT` builds it elsewhere, to compare. */
const out = process.env["MIMIR_WEB_OUT"] ?? join(import.meta.dirname, "../src/gateway/web");

const MEDIA: Record<string, string> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

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

/** Names files by what is in them. Only the page names them, so nothing else has to follow. */
function nameByContent(): Plugin {
  return {
    name: "name-by-content",
    apply: "build",
    enforce: "post",
    writeBundle() {
      const folder = join(out, "assets");
      let page = readFileSync(join(folder, "index.html"), "utf8");
      for (const name of readdirSync(folder).filter((name) => name !== "index.html")) {
        const content = readFileSync(join(folder, name));
        const named = name.replace(".", `-${hashed(content)}.`);
        writeFileSync(join(folder, named), content);
        rmSync(join(folder, name));
        if (!page.includes(`"/assets/${name}"`)) throw new Error(`the page does not name ${name}`);
        page = page.replaceAll(`"/assets/${name}"`, `"/assets/${named}"`);
      }
      writeFileSync(join(folder, "index.html"), page);
    },
  };
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
  plugins: isSsrBuild ? [] : [makeFolder(), nameByContent(), listForRust()],
}));

function makeFolder(): Plugin {
  return { name: "make-folder", apply: "build", buildStart: () => void mkdirSync(out, { recursive: true }) };
}
