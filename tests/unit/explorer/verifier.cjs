// The explorer's verifier without a browser: reads a list of jobs from standard input, writes the list of their results.
//
// It loads the very files that pages load, in a context that has of a browser only what those files use.
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const vm = require("node:vm");

const STATIC = join(__dirname, "../../../explorer/static");
const context = vm.createContext({ AbortController, TextDecoder, TextEncoder, URL, clearTimeout, fetch, setTimeout });
for (const name of ["noble.js", "verifier.js"]) {
  vm.runInContext(readFileSync(join(STATIC, name), "utf8"), context, { filename: name });
}
const verifier = vm.runInContext("tallystick.verifier", context);
const { bytes, decoders } = verifier;

// --- vectors: what they hold in decimal goes through the decoders as the interface writes it

const TEXTS = ["memo", "kind", "role", "name", "mediaType", "tags", "description"];

function toWire(form, name = "") {
  if (typeof form === "string" && /^[0-9]+$/.test(form) && !TEXTS.includes(name)) return "0x" + BigInt(form).toString(16);
  if (typeof form !== "object" || form === null) return form;
  const entries = Object.entries(form).map(([key, value]) => [key, toWire(value, Array.isArray(form) ? name : key)]);
  return Array.isArray(form) ? entries.map(([, value]) => value) : Object.fromEntries(entries);
}

const read = (decoder, form) => decoders[decoder](toWire(form), decoder);
const strip = (hex) => hex.slice(2);
const show = (hex) => "0x" + hex;
const readNode = (node) => ({ hash: strip(node.hash), sum: BigInt(node.sum) });
const showNode = (node) => ({ hash: show(node.hash), sum: String(node.sum) });
const last = (path) => path[path.length - 1];
const readDomain = (form) => ({ chainId: BigInt(form.chainId), verifyingContract: strip(form.verifyingContract) });

// As plainly as can be: padded to a power of two, halved until one is left.
function foldSums(leaves) {
  if (leaves.length < 2) return leaves[0] || { hash: "0".repeat(64), sum: 0n };
  const half = 2 ** Math.ceil(Math.log2(leaves.length)) / 2;
  const full = [...leaves, ...Array(2 * half - leaves.length).fill(foldSums([]))];
  return bytes.hashSumNode(foldSums(full.slice(0, half)), foldSums(full.slice(half)));
}

const VECTORS = {
  list_tree({ input, want }) {
    const count = BigInt(input.items.length);
    const roots = want.proofs.map((proof, index) =>
      show(last(bytes.climbList(strip(input.items[index]), BigInt(index), count, proof.map(strip)))),
    );
    return { leaves: input.items.map((item) => show(bytes.hashListLeaf(strip(item)))), roots };
  },
  list_proof({ input }) {
    const { item, index, count, siblings, root } = input;
    const values = [strip(item), BigInt(index), BigInt(count), siblings.map(strip)];
    bytes.checkListProof(...values, strip(root));
    return { root: show(last(bytes.climbList(...values))) };
  },
  sum_tree({ input, want }) {
    const leaves = input.leaves.map(readNode);
    const roots = want.proofs.map((proof, index) =>
      showNode(last(bytes.climbSums(leaves[index], BigInt(index), BigInt(leaves.length), proof.map(readNode)))),
    );
    return { root: showNode(foldSums(leaves)), roots };
  },
  sum_proof({ input }) {
    const { leaf, index, count, siblings, root } = input;
    const values = [readNode(leaf), BigInt(index), BigInt(count), siblings.map(readNode)];
    bytes.checkSumProof(...values, readNode(root));
    return { root: showNode(last(bytes.climbSums(...values))) };
  },
  withdrawal({ input }) {
    return { hash: show(bytes.hashWithdrawal(read("CLAIM", { ...input, asset: show("0".repeat(40)), index: "0", siblings: [] }))) };
  },
  account_leaf({ input, want }) {
    const leaf = read("LEAF", input);
    const encoded = bytes.encodeLeaf(leaf);
    const isSound = bytes.isLeafSound(leaf);
    const found = { encoded: show(encoded), hash: show(bytes.hashLeaf(encoded)), isSound };
    return "closing" in want ? { ...found, closing: String(bytes.computeClosing(leaf)) } : found;
  },
  domain({ input }) {
    const chainId = bytes.computeLedgerChainId(BigInt(input.l1ChainId), strip(input.settlement));
    const domain = { chainId, verifyingContract: strip(input.settlement) };
    return { ledgerChainId: String(chainId), domainSeparator: show(bytes.hashDomain(domain)) };
  },
  payment({ input, want }) {
    const payment = read("PAYMENT", input.payment);
    bytes.checkStructure(payment);
    const structHash = bytes.hashPayment(payment);
    const id = bytes.computeDigest(readDomain(input.domain), structHash);
    bytes.checkSigner(id, strip(want.signature), payment.from, "");
    return { structHash: show(structHash), id: show(id), signature: want.signature };
  },
  instruction({ input, want }) {
    const instruction = read("INSTRUCTION", input.instruction);
    bytes.checkInstruction(instruction);
    const structHash = bytes.hashInstruction(instruction);
    const id = bytes.computeDigest(readDomain(input.domain), structHash);
    bytes.checkSigner(id, strip(want.signature), instruction.account, "");
    return { structHash: show(structHash), id: show(id), signature: want.signature };
  },
  registry_entry({ input }) {
    const encoded = bytes.encodeEntry(read("ENTRY", input));
    return { encoded: show(encoded), leaf: show(bytes.hashListLeaf(encoded)) };
  },
  registry({ input, want }) {
    const count = BigInt(input.entries.length);
    const extraRoots = want.proofs.map((proof, index) => {
      const item = bytes.encodeEntry(read("ENTRY", input.entries[index]));
      return show(bytes.computeExtraRoot(count, last(bytes.climbList(item, BigInt(index), count, proof.map(strip)))));
    });
    return { extraRoot: show(bytes.computeExtraRoot(count, strip(want.root))), extraRoots };
  },
  registry_proof({ input }) {
    const { index, count, siblings, extraRoot } = input;
    const place = [BigInt(index), BigInt(count), siblings.map(strip)];
    return { extraRoot: bytes.checkRegistryProof(read("ENTRY", input.entry), ...place, strip(extraRoot)).computed };
  },
  header({ input, want }) {
    const structHash = bytes.hashHeader(read("HEADER", input.header));
    return sign(input, want, structHash, "hash");
  },
  commitment({ input, want }) {
    const structHash = bytes.hashCommitment(read("COMMITMENT", input.commitment));
    return sign(input, want, structHash, "digest");
  },
  signature({ input }) {
    const [digest, signature, signer] = [input.digest, input.signature, input.signer].map(strip);
    bytes.checkSigner(digest, signature, signer, "");
    return { signer: show(bytes.recoverAddress(digest, signature)) };
  },
  stored_hash({ input }) {
    return { hash: show(bytes.computeStoredHash(strip(input.digest), BigInt(input.includedAt))) };
  },
  withdrawal_claim({ input }) {
    const found = bytes.checkClaim(read("CLAIM", input.claim), read("COMMITMENT", input.commitment));
    return { assetIndex: String(found.assetIndex) };
  },
  ledger({ input, want }) {
    const { l1ChainId, settlement } = input.parameters;
    const chainId = bytes.computeLedgerChainId(BigInt(l1ChainId), strip(settlement));
    const domain = { chainId, verifyingContract: strip(settlement) };
    const digest = (structHash) => show(bytes.computeDigest(domain, structHash));
    return {
      blocks: want.blocks.map(({ header }) => digest(bytes.hashHeader(read("HEADER", header)))),
      epochs: want.epochs.map(({ commitment }) => digest(bytes.hashCommitment(read("COMMITMENT", commitment)))),
    };
  },
};

// Signing is not the verifier's: that somebody signed this digest, and always the same, is.
function sign(input, want, structHash, name) {
  const digest = bytes.computeDigest(readDomain(input.domain), structHash);
  const signer = show(bytes.recoverAddress(digest, strip(want.signature)));
  return { structHash: show(structHash), [name]: show(digest), signer };
}

// --- jobs

const JOBS = {
  vector: ({ layout, vector }) => VECTORS[layout](vector),
  verify: ({ form, options }) => verifier.verify(form, expand(options)),
  identify: ({ content }) => ({ kind: verifier.identify(verifier.parse(content)).kind }),
};

function expand({ source, ...options }) {
  return source === undefined ? options : { ...options, expected: verifier.readSource(source) };
}

async function run(job) {
  try {
    return await JOBS[job.op](job);
  } catch (error) {
    if (error instanceof verifier.Refusal) return { error: error.code, message: error.message };
    throw error;
  }
}

async function main() {
  const results = [];
  for (const job of JSON.parse(readFileSync(0, "utf8"))) results.push(await run(job));
  process.stdout.write(JSON.stringify(results, (_, value) => (typeof value === "bigint" ? String(value) : value)));
}

main();
