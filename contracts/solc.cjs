// Compiles standard JSON with npm's build of solc: node solc.cjs INPUT.json OUTPUT.json
// Files and not pipes, because solc's own command line loses what does not fit into one.
const fs = require("fs");
const solc = require("solc");

const [input, output] = process.argv.slice(2);
const compiled = JSON.parse(solc.compile(fs.readFileSync(input, "utf8")));
fs.writeFileSync(output, JSON.stringify({ version: solc.version(), compiled }));
