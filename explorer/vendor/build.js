// Makes ../static/noble.js and ./licenses of the pinned libraries: `npm ci`, then `npm run build`.
//
// `node build.js --check` writes nothing and fails unless the files that are there are what would be written, byte for
// byte. The bundle is left readable: whoever wants to know what checks their proofs can compare it with the libraries.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const FOLDER = dirname(fileURLToPath(import.meta.url));
const PINNED = JSON.parse(readFileSync(join(FOLDER, "package.json"), "utf8")).dependencies;

function build() {
  const libraries = Object.keys(PINNED).map(readLibrary);
  const files = { "../static/noble.js": bundle(libraries) };
  for (const { name, license } of libraries) {
    files[`licenses/${name.slice(1).replace("/", "-")}.txt`] = license;
  }
  return files;
}

function readLibrary(name) {
  const folder = join(FOLDER, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (version !== PINNED[name]) throw new Error(`${name} ${version} is installed, ${PINNED[name]} is pinned: npm ci`);
  return { name, version, license: readFileSync(join(folder, "LICENSE"), "utf8").trim() + "\n" };
}

function bundle(libraries) {
  const notices = libraries.map(({ name, version, license }) => `${name} ${version}\n\n${license}`).join("\n");
  const { outputFiles } = buildSync({
    absWorkingDir: FOLDER,
    entryPoints: ["entry.js"],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "noble",
    target: "es2020",
    charset: "utf8",
    legalComments: "none",
    banner: { js: `/*! Made by explorer/vendor/build.js; not to be edited.\n\n${notices}*/` },
  });
  return outputFiles[0].text;
}

function check(files) {
  const differing = Object.keys(files).filter((path) => readIfThere(path) !== files[path]);
  for (const path of differing) console.error(`explorer/vendor/${path} is not what npm run build makes`);
  return differing.length ? 1 : 0;
}

function readIfThere(path) {
  try {
    return readFileSync(join(FOLDER, path), "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}

const files = build();
if (process.argv.includes("--check")) process.exitCode = check(files);
else for (const path of Object.keys(files)) writeFileSync(join(FOLDER, path), files[path]);
