// Receipts, payment, account and registry proofs, checked from their bytes to what Ethereum holds. Knows no page.
//
// Nothing is believed that can be computed. Four facts come from outside, from an Ethereum endpoint of the reader's
// choice: which contract it is about, that contract's operator, what it stores for the epoch, how far finality has come.
// Steps, order and meaning are those of `tally verify` (client/verifier.py); tests hold the two against each other.
//
// A byte string is lower-case hex without 0x here, so that it is joined by + and compared by ===; an integer a BigInt.
"use strict";
var tallystick = tallystick || {};
tallystick.verifier = (function () {
  const MAX_SIZE = 1 << 20; // bytes of a file, or of an endpoint's answer: both take a few kilobytes
  const PATIENCE_MS = 15000; // for one question to an endpoint
  const MAX_SEARCH_S = 30n * 86400n;
  const SEARCH_CHUNK = 2048;
  const EMPTY = "0".repeat(64);
  const ETHER = "0".repeat(40);
  const HALF_ORDER = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";
  const KINDS = ["transfer", "upload", "purchase", "extend", "tip", "withdraw"];
  const ROLES = ["validator", "mart", "service_node", "owner"];
  const RANKS = { accepted: 0, committed: 1, final: 2 };

  // What is refused, by its name in the ledger. `values` may hold what was computed and what was expected.
  class Refusal extends Error {
    constructor(code, message, values = {}) {
      super(message);
      this.code = code;
      this.values = values;
    }
  }

  // An endpoint that cannot be asked, or does not answer as one should: says nothing of what is being checked.
  class Unreachable extends Error {}

  function refuse(code, message, values) {
    throw new Refusal(code, message, values);
  }

  // --- bytes

  function toBytes(hex) {
    const bytes = new Uint8Array(hex.length / 2);
    for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(hex.slice(2 * at, 2 * at + 2), 16);
    return bytes;
  }

  function toHex(bytes) {
    let hex = "";
    for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
    return hex;
  }

  function keccak(...parts) {
    return toHex(noble.keccak_256(toBytes(parts.join(""))));
  }

  function hashText(text) {
    return toHex(noble.keccak_256(new TextEncoder().encode(text)));
  }

  // Big-endian, `size` bytes. Decoders bound what comes here; a RangeError is a mistake of ours.
  function uint(value, size) {
    const hex = value.toString(16);
    if (value < 0n || hex.length > 2 * size) throw new RangeError(`${value} does not fit ${size} bytes`);
    return hex.padStart(2 * size, "0");
  }

  const word = (value) => uint(value, 32);
  const addressWord = (address) => "0".repeat(24) + address;
  const show = (hex) => "0x" + hex;

  // With its checksum in the case of its letters (EIP-55).
  function showAddress(address) {
    const check = hashText(address);
    return show([...address].map((digit, at) => (check[at] >= "8" ? digit.toUpperCase() : digit)).join(""));
  }

  // --- JSON to values: exact lengths, canonical quantities, nothing missing. `what` names the place in messages.

  function malformed(what, problem) {
    refuse("malformed", `${what}: ${problem}`);
  }

  const bounded = (limit) => (value, what) => {
    if (typeof value !== "string" || !/^0x(0|[1-9a-f][0-9a-f]{0,63})$/.test(value)) {
      malformed(what, "not an integer as 0x and hex digits, without leading zeros");
    }
    const number = BigInt(value);
    return number <= limit ? number : malformed(what, `${number} is above ${limit}`);
  };

  const bytes = (size) => (value, what) => {
    const isHex = typeof value === "string" && value.length === 2 + 2 * size && /^0x[0-9a-fA-F]*$/.test(value);
    return isHex ? value.slice(2).toLowerCase() : malformed(what, `not 0x and ${2 * size} hex digits`);
  };

  // Half a surrogate pair has no UTF-8, and so no hash.
  const text = (value, what) =>
    typeof value === "string" && !/[\ud800-\udfff]/u.test(value) ? value : malformed(what, "not text");

  const oneOf = (...words) => (value, what) => (words.includes(value) ? value : malformed(what, "not a known word"));

  const list = (read, limit) => (value, what) => {
    if (!Array.isArray(value) || value.length > limit) malformed(what, `not a list of at most ${limit}`);
    return value.map((item, index) => read(item, `${what}[${index}]`));
  };

  const flag = (value, what) => (typeof value === "boolean" ? value : malformed(what, "neither true nor false"));

  const orNull = (read) => (value, what) => (value === null ? null : read(value, what));

  const object = (members, { isExact = false } = {}) => (value, what) => {
    if (!isObject(value)) malformed(what, "not an object");
    const found = {};
    for (const [name, read] of Object.entries(members)) {
      if (!hasOwn(value, name)) malformed(what, `${name} is missing`);
      found[name] = read(value[name], `${what}.${name}`);
    }
    const unknown = isExact && Object.keys(value).find((name) => !hasOwn(members, name));
    return unknown ? malformed(what, `${unknown} does not belong there`) : found;
  };

  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const hasOwn = (value, name) => Object.prototype.hasOwnProperty.call(value, name);
  const anything = (value) => value;

  const MAX_U128 = 2n ** 128n - 1n;
  const U32 = bounded(2n ** 32n - 1n);
  const U64 = bounded(2n ** 64n - 1n);
  const U128 = bounded(MAX_U128);
  const U256 = bounded(2n ** 256n - 1n);
  const ADDRESS = bytes(20);
  const HASH = bytes(32);
  const SIGNATURE = bytes(65);
  const ANY_BYTES = (value, what) => bytes((Math.min(String(value).length, 2050) >> 1) - 1)(value, what);

  const DOMAIN = object({ name: text, version: text, chainId: U64, verifyingContract: ADDRESS });
  // Amounts wider than they may be, so that one too large is refused by its own name.
  const OUTPUT = object({ to: ADDRESS, amount: U256 }, { isExact: true });
  const PAYMENT = object(
    {
      asset: ADDRESS, from: ADDRESS, nonce: U64, validUntil: U64, kind: text, reference: HASH, memo: text,
      outputs: list(OUTPUT, 1024),
    },
    { isExact: true },
  );

  // Instructions and entries of the registry by their members: type and name, as EIP-712 writes them, and a few types of
  // ours. How they are read, hashed, encoded and shown follows from that.
  const parseMembers = (members) => members.split(",").map((member) => member.split(" "));
  const HEAD = "address account,uint64 nonce,uint64 validUntil,";
  const INSTRUCTIONS = {
    Register: HEAD + "string role",
    RegisterOwner: HEAD + "address validator",
    ListFile:
      HEAD + "bytes32 file,address owner,address asset,uint128 price,uint64 size,uint32 storageDays,bytes32 contentHash," +
      "string name,string mediaType,string[] tags,string description,bytes32 keyHash,bytes sealedKey",
    UpdatePrice: HEAD + "bytes32 file,uint128 price",
    Delist: HEAD + "bytes32 file",
  };
  const ENTRIES = {
    account: "address account,roles roles,address? validator,bool namedOnly",
    file:
      "bytes32 file,address validator,address owner,address asset,uint128 price,uint64 size,uint32 storageDays," +
      "uint64 keepUntil,address? serviceNode,bytes32 listing,bool delisted",
  };
  const READERS = {
    address: ADDRESS, "address?": orNull(ADDRESS), bool: flag, bytes32: HASH, bytes: ANY_BYTES, string: text,
    "string[]": list(text, 64), roles: list(oneOf(...ROLES), 4), uint32: U32, uint64: U64, uint128: U128,
  };
  const members = (described, more = {}) => {
    const readers = parseMembers(described).map(([kind, name]) => [name, READERS[kind]]);
    return object({ ...more, ...Object.fromEntries(readers) }, { isExact: true });
  };
  const INSTRUCTION = (value, what) => {
    const { type } = object({ type: oneOf(...Object.keys(INSTRUCTIONS)) })(value, what);
    return members(INSTRUCTIONS[type], { type: anything })(value, what);
  };
  const nameEntry = (entry) => (hasOwn(entry, "account") ? "account" : "file");
  const ENTRY = (value, what) => members(ENTRIES[isObject(value) ? nameEntry(value) : "file"])(value, what);
  const HEADER = object({ number: U64, previous: HASH, timestamp: U64, recordsRoot: HASH, recordCount: U32 });
  const SIGNED_HEADER = (value, what) => ({
    ...HEADER(value, what), ...object({ hash: HASH, signature: SIGNATURE })(value, what),
  });
  const ASSET_LINE = object({
    asset: ADDRESS, stateRoot: HASH, total: U128, accountCount: U64, depositCount: U64, forcedCount: U64,
    withdrawalsRoot: HASH, withdrawalCount: U64, withdrawn: U128,
  });
  const COMMITMENT = object({
    epoch: U64, previous: HASH, firstBlock: U64, lastBlock: U64, cutAt: U64, blocksRoot: HASH, extraRoot: HASH,
    assets: list(ASSET_LINE, 32),
  });
  const INCLUSION = object({
    epoch: U64, index: U64, siblings: list(HASH, 64), l1Transaction: HASH, includedAt: U64, message: COMMITMENT,
  });
  // What a receipt is of: its name there.
  const nameContent = (form) => (hasOwn(form, "instruction") && !hasOwn(form, "payment") ? "instruction" : "payment");
  const RECEIPT = (value, what) =>
    object({
      id: HASH, status: oneOf("accepted", "committed", "final", "void"), domain: anything,
      ...(isObject(value) && nameContent(value) === "instruction" ? { instruction: INSTRUCTION } : { payment: PAYMENT }),
      signature: SIGNATURE, block: SIGNED_HEADER, index: U32, siblings: list(HASH, 64), commitment: orNull(INCLUSION),
    })(value, what);
  const SUM_NODE = object({ hash: HASH, sum: U128 });
  const SUM_PATH = list(SUM_NODE, 64);
  const CLAIM = object({
    asset: ADDRESS, index: U64, id: HASH, recipient: ADDRESS, amount: U128, siblings: SUM_PATH,
  });
  const LEAF = object({
    asset: ADDRESS, owner: ADDRESS, epoch: U64, nonceBase: U64, nonceMap: U256, opening: U128, debits: U128,
    credits: U128, debitCount: U32, creditCount: U32, debitsRoot: HASH, creditsRoot: HASH,
  });
  const SEALED = { epoch: U64, commitment: object({ message: COMMITMENT, signature: SIGNATURE }) };
  const ACCOUNT_PROOF = object({
    ...SEALED, assetIndex: U64,
    leaf: (value, what) => ({ ...LEAF(value, what), ...object({ closing: U128 })(value, what) }),
    index: U64, siblings: SUM_PATH,
  });
  const REGISTRY_PROOF = object({ ...SEALED, entry: ENTRY, index: U64, count: U64, siblings: list(HASH, 64) });

  // --- EIP-712

  const DOMAIN_TYPE = hashText("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
  const OUTPUT_FORM = "Output(address to,uint128 amount)";
  const OUTPUT_TYPE = hashText(OUTPUT_FORM);
  const PAYMENT_TYPE = hashText(
    "Payment(address asset,address from,uint64 nonce,uint64 validUntil,string kind,bytes32 reference,string memo," +
      "Output[] outputs)" + OUTPUT_FORM,
  );
  const BLOCK_TYPE = hashText(
    "Block(uint64 number,bytes32 previous,uint64 timestamp,bytes32 recordsRoot,uint32 recordCount)",
  );
  const LINE_FORM =
    "AssetCommitment(address asset,bytes32 stateRoot,uint128 total,uint64 accountCount,uint64 depositCount," +
    "uint64 forcedCount,bytes32 withdrawalsRoot,uint64 withdrawalCount,uint128 withdrawn)";
  const LINE_TYPE = hashText(LINE_FORM);
  const COMMITMENT_TYPE = hashText(
    "Commitment(uint64 epoch,bytes32 previous,uint64 firstBlock,uint64 lastBlock,uint64 cutAt,bytes32 blocksRoot," +
      "bytes32 extraRoot,AssetCommitment[] assets)" + LINE_FORM,
  );

  // 2^40 + the first 5 bytes of H(L1 chain id u256 ‖ Settlement): one number for one deployment.
  function computeLedgerChainId(l1ChainId, settlement) {
    return 2n ** 40n + BigInt(show(keccak(word(l1ChainId), settlement).slice(0, 10)));
  }

  function makeDomain(l1ChainId, settlement) {
    return { chainId: computeLedgerChainId(l1ChainId, settlement), verifyingContract: settlement };
  }

  function hashDomain(domain) {
    const names = hashText("Tallystick") + hashText("1");
    return keccak(DOMAIN_TYPE, names, word(domain.chainId), addressWord(domain.verifyingContract));
  }

  function computeDigest(domain, structHash) {
    return keccak("1901", hashDomain(domain), structHash);
  }

  // What can be said of a payment without knowing the ledger, in the ledger's order of refusals.
  function checkStructure(payment) {
    const { kind, outputs, memo } = payment;
    if (!KINDS.includes(kind)) refuse("unknown_kind", `payments of kind “${kind.slice(0, 32)}” are not known here`);
    if (outputs.length === 0) refuse("no_outputs", "a payment needs at least one output");
    if (outputs.length > 16) refuse("too_many_outputs", `${outputs.length} outputs, at most 16 are allowed`);
    if (payment.from === ETHER) refuse("zero_address", "the payer is the zero address");
    if (outputs.some((output) => output.to === ETHER)) refuse("zero_address", "an output goes to the zero address");
    if (outputs.some((output) => output.amount === 0n)) refuse("zero_amount", "an output has amount zero");
    if (sum(outputs) > MAX_U128) refuse("amount_too_large", "the amounts do not fit 128 bits");
    const size = new TextEncoder().encode(memo).length;
    if (size > 256) refuse("memo_too_long", `the memo takes ${size} bytes of UTF-8, at most 256 are allowed`);
  }

  // Likewise of an instruction.
  function checkInstruction(instruction) {
    const { type, role, price, size, storageDays, name, tags, keyHash, sealedKey } = instruction;
    for (const [kind, member] of parseMembers(INSTRUCTIONS[type])) {
      const isNobody = kind === "address" && member !== "asset" && instruction[member] === ETHER;
      if (isNobody) refuse("zero_address", `${member} is the zero address`);
    }
    if (type === "Register" && !ROLES.slice(0, 3).includes(role)) {
      refuse("unknown_role", `nobody registers as “${role.slice(0, 32)}” by this instruction`);
    }
    const demand = (holds, problem) => holds || refuse("malformed_instruction", problem);
    demand(price !== 0n, "a price is at least one base unit");
    if (type !== "ListFile") return;
    demand(instruction.file !== EMPTY, "a file is not zero");
    const measure = (words) => new TextEncoder().encode(words).length;
    demand(size > 0n, "a file has at least one byte");
    demand(storageDays >= 1n && storageDays <= 36500n, "a file is kept for 1 to 36500 days");
    demand(name, "a file has a name");
    for (const [member, limit] of Object.entries({ name: 128, mediaType: 64, description: 512 })) {
      demand(measure(instruction[member]) <= limit, `${member} takes at most ${limit} bytes`);
    }
    demand(tags.length <= 8 && new Set(tags).size === tags.length, "a file has at most 8 tags, none twice");
    demand(tags.every((tag) => tag && measure(tag) <= 32), "a tag takes 1 to 32 bytes");
    demand(!sealedKey || sealedKey.length === 162, "a sealed key takes 81 bytes");
    demand(!sealedKey || keyHash !== EMPTY, "a sealed key has a key hash");
  }

  const sum = (outputs) => outputs.reduce((total, output) => total + output.amount, 0n);

  // The payment must have passed `checkStructure`.
  function hashPayment(payment) {
    const outputs = payment.outputs.map(({ to, amount }) => keccak(OUTPUT_TYPE, addressWord(to), word(amount)));
    return keccak(
      PAYMENT_TYPE, addressWord(payment.asset), addressWord(payment.from), word(payment.nonce),
      word(payment.validUntil), hashText(payment.kind), payment.reference, hashText(payment.memo), keccak(...outputs),
    );
  }

  const WORDS = {
    address: addressWord, bytes32: (hex) => hex, bytes: (hex) => keccak(hex), string: hashText,
    "string[]": (texts) => keccak(...texts.map(hashText)), uint32: word, uint64: word, uint128: word,
  };

  function hashInstruction(instruction) {
    const { type } = instruction;
    const words = parseMembers(INSTRUCTIONS[type]).map(([kind, name]) => WORDS[kind](instruction[name]));
    return keccak(hashText(`${type}(${INSTRUCTIONS[type]})`), ...words);
  }

  function hashHeader(header) {
    const { number, previous, timestamp, recordsRoot, recordCount } = header;
    return keccak(BLOCK_TYPE, word(number), previous, word(timestamp), recordsRoot, word(recordCount));
  }

  function hashCommitment(commitment) {
    const lines = commitment.assets.map((line) =>
      keccak(
        LINE_TYPE, addressWord(line.asset), line.stateRoot, word(line.total), word(line.accountCount),
        word(line.depositCount), word(line.forcedCount), line.withdrawalsRoot, word(line.withdrawalCount),
        word(line.withdrawn),
      ),
    );
    return keccak(
      COMMITMENT_TYPE, word(commitment.epoch), commitment.previous, word(commitment.firstBlock),
      word(commitment.lastBlock), word(commitment.cutAt), commitment.blocksRoot, commitment.extraRoot, keccak(...lines),
    );
  }

  function computeStoredHash(digest, includedAt) {
    return keccak(digest, uint(includedAt, 8));
  }

  // --- signatures: 65 bytes r ‖ s ‖ v, v 27 or 28, s in the lower half of the order

  function recoverAddress(digest, signature) {
    if (signature.length !== 130) refuse("invalid_signature", "a signature is 65 bytes long");
    const recoveryId = { "1b": "00", "1c": "01" }[signature.slice(128)];
    if (!recoveryId) refuse("invalid_signature", "v is neither 27 nor 28");
    if (signature.slice(64, 128) > HALF_ORDER) refuse("invalid_signature", "s lies in the upper half of the order");
    const options = { prehash: false, isCompressed: false };
    let key;
    try {
      key = noble.recoverPublicKey(toBytes(recoveryId + signature.slice(0, 128)), toBytes(digest), options);
    } catch (error) {
      refuse("invalid_signature", "the signature recovers to no key");
    }
    return toHex(noble.keccak_256(key.slice(1))).slice(24);
  }

  function checkSigner(digest, signature, signer, who) {
    const recovered = recoverAddress(digest, signature);
    const values = { computed: showAddress(recovered), expected: showAddress(signer) };
    if (recovered !== signer) {
      refuse("invalid_signature", `signed by ${showAddress(recovered)}, not by ${showAddress(signer)}`, values);
    }
    return { detail: `signed by ${who}${showAddress(signer)}`, ...values };
  }

  // --- trees. A proof has one sibling a level, from the leaf upwards, and exactly as many as the count demands.

  function computeDepth(count) {
    return count > 1n ? (count - 1n).toString(2).length : 0;
  }

  function checkPlace(index, count, length) {
    if (index >= count) refuse("index_out_of_range", `index ${index} is not below the count ${count}`);
    const depth = computeDepth(count);
    if (length !== depth) refuse("proof_length_mismatch", `${length} siblings, a tree of ${count} has ${depth}`);
  }

  const hashListLeaf = (data) => keccak("80", data);

  // Every node from the leaf to the root.
  function climbList(item, index, count, siblings) {
    checkPlace(index, count, siblings.length);
    const path = [hashListLeaf(item)];
    siblings.forEach((sibling, height) => {
      const node = path[height];
      path.push((index >> BigInt(height)) & 1n ? keccak("81", sibling, node) : keccak("81", node, sibling));
    });
    return path;
  }

  const checkListProof = (item, index, count, siblings, root) => checkRoot(climbList(item, index, count, siblings), root);

  function checkRoot(path, root) {
    const computed = path[path.length - 1];
    const values = { computed: show(computed), expected: show(root), path: path.map(show) };
    if (computed !== root) refuse("root_mismatch", "the path does not lead to the root", values);
    return values;
  }

  // An entry of the registry, as a commitment's `extraRoot` holds it: that binds the count, too.
  function checkRegistryProof(entry, index, count, siblings, extraRoot) {
    const path = climbList(encodeEntry(entry), index, count, siblings);
    return checkRoot([...path, computeExtraRoot(count, path[path.length - 1])], extraRoot);
  }

  const computeExtraRoot = (count, root) => (count ? keccak("8b", uint(count, 8), root) : EMPTY);

  const isEmpty = (node) => node.hash === EMPTY && node.sum === 0n;

  function hashSumNode(left, right) {
    if (isEmpty(left) && isEmpty(right)) return left;
    const hash = keccak("83", left.hash, uint(left.sum, 16), right.hash, uint(right.sum, 16));
    return { hash, sum: left.sum + right.sum };
  }

  // A sibling that lies wholly at or beyond `count` holds nothing, and every partial sum fits 128 bits.
  function climbSums(leaf, index, count, siblings) {
    checkPlace(index, count, siblings.length);
    checkSum(leaf.sum);
    const path = [leaf];
    siblings.forEach((sibling, height) => {
      const node = path[height];
      const place = index >> BigInt(height);
      if ((place ^ 1n) << BigInt(height) >= count && !isEmpty(sibling)) {
        refuse("padding_not_empty", `the sibling at height ${height} lies beyond the last leaf and is not empty`);
      }
      checkSum(sibling.sum);
      checkSum(node.sum + sibling.sum);
      path.push(place & 1n ? hashSumNode(sibling, node) : hashSumNode(node, sibling));
    });
    return path;
  }

  function checkSum(total) {
    if (total < 0n || total > MAX_U128) refuse("sum_too_large", `the sum ${total} does not fit 128 bits`);
  }

  function checkSumProof(leaf, index, count, siblings, root) {
    const path = climbSums(leaf, index, count, siblings);
    const computed = path[path.length - 1];
    const values = { computed: showSum(computed), expected: showSum(root), path: path.map(showSum) };
    if (computed.hash !== root.hash || computed.sum !== root.sum) {
      refuse("root_mismatch", "the path does not lead to the root and its sum", values);
    }
    return values;
  }

  const showSum = (node) => `${show(node.hash)} with sum ${node.sum}`;

  // --- leaves

  const encodeRecordItem = (type, id) => uint(BigInt(type), 1) + id;

  // 208 bytes
  function encodeLeaf(leaf) {
    return (
      leaf.asset + leaf.owner + uint(leaf.epoch, 8) + uint(leaf.nonceBase, 8) + word(leaf.nonceMap) +
      uint(leaf.opening, 16) + uint(leaf.debits, 16) + uint(leaf.credits, 16) + uint(leaf.debitCount, 4) +
      uint(leaf.creditCount, 4) + leaf.debitsRoot + leaf.creditsRoot
    );
  }

  const plain = (hex) => hex;
  const FIELDS = {
    address: plain, "address?": (address) => address || ETHER, bytes32: plain, bool: (truth) => uint(BigInt(truth), 1),
    roles: (roles) => uint(BigInt(ROLES.reduce((bits, role, place) => bits | (roles.includes(role) << place), 0)), 1),
    uint32: (value) => uint(value, 4), uint64: (value) => uint(value, 8), uint128: (value) => uint(value, 16),
  };

  // 43 bytes of an account, 182 of a file
  function encodeEntry(entry) {
    const kind = nameEntry(entry);
    const fields = parseMembers(ENTRIES[kind]).map(([type, name]) => FIELDS[type](entry[name]));
    return { account: "01", file: "02" }[kind] + fields.join("");
  }

  const hashLeaf = (encoded) => keccak("82", encoded);
  const computeClosing = (leaf) => leaf.opening + leaf.credits - leaf.debits;

  // What holds for every honest leaf by itself.
  function isLeafSound(leaf) {
    const closing = computeClosing(leaf);
    const isSideSound = (count, total, root) => count > 0n || (total === 0n && root === EMPTY);
    return (
      !(leaf.nonceMap & 1n) && closing >= 0n && closing <= MAX_U128 &&
      isSideSound(leaf.debitCount, leaf.debits, leaf.debitsRoot) &&
      isSideSound(leaf.creditCount, leaf.credits, leaf.creditsRoot)
    );
  }

  function hashWithdrawal(withdrawal) {
    return keccak("86", withdrawal.id, withdrawal.recipient, uint(withdrawal.amount, 16));
  }

  function findLine(commitment, asset) {
    const index = commitment.assets.findIndex((line) => line.asset === asset);
    const problem = `epoch ${commitment.epoch} has no line for asset ${show(asset)}`;
    return index < 0 ? refuse("asset_not_in_commitment", problem) : { index, line: commitment.assets[index] };
  }

  function checkClaim(claim, commitment) {
    const { index, line } = findLine(commitment, claim.asset);
    const leaf = { hash: hashWithdrawal(claim), sum: claim.amount };
    const root = { hash: line.withdrawalsRoot, sum: line.withdrawn };
    return { assetIndex: index, ...checkSumProof(leaf, claim.index, line.withdrawalCount, claim.siblings, root) };
  }

  // --- Ethereum

  class Ethereum {
    constructor(url) {
      try {
        this.url = new URL(url);
      } catch (error) {
        throw new Unreachable("that is no address: it begins with https://, or with http:// on this machine");
      }
      if (!["http:", "https:"].includes(this.url.protocol)) throw new Unreachable("an address begins with https://");
      this.name = this.url.host;
      this.asked = 0;
    }

    // Raises Unreachable, or RpcFault for an error that the endpoint itself answers.
    async ask(method, ...params) {
      const id = ++this.asked;
      const answer = parseAnswer(await this.post({ jsonrpc: "2.0", id, method, params }), this.name);
      if (answer.id !== id) throw new Unreachable(`${this.name} answers another question than was asked`);
      if (isObject(answer.error)) throw new RpcFault(this.name, answer.error);
      if (!hasOwn(answer, "result")) throw new Unreachable(`${this.name} answers with neither result nor error`);
      return answer.result;
    }

    async post(request) {
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
      try {
        const response = await fetch(this.url.href, {
          method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request),
          credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer", signal: abort.signal,
        });
        return await readBounded(response, abort);
      } catch (error) {
        if (error instanceof Unreachable) throw error;
        if (abort.signal.aborted) throw new Unreachable(`${this.name} did not answer within ${PATIENCE_MS / 1000} s`);
        const advice = "is the address right, and may pages ask it (CORS)?";
        throw new Unreachable(`${this.name} cannot be reached: ${advice}`);
      } finally {
        clearTimeout(timer);
      }
    }
  }

  class RpcFault extends Unreachable {
    constructor(name, error) {
      super(`${name} answers: ${String(error.message).slice(0, 200)} (${String(error.code).slice(0, 20)})`);
      this.isRevert = /revert/i.test(String(error.message));
    }
  }

  // The body as text. Some endpoints answer errors under a status of their own, so it is not looked at.
  async function readBounded(response, abort) {
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let found = "";
    for (let size = 0; ; ) {
      const { done, value } = await reader.read();
      if (done) return found + decoder.decode();
      size += value.length;
      if (size > MAX_SIZE) {
        abort.abort();
        throw new Unreachable(`an answer of more than ${MAX_SIZE} bytes`);
      }
      found += decoder.decode(value, { stream: true });
    }
  }

  function parseAnswer(body, name) {
    try {
      const answer = JSON.parse(body);
      if (isObject(answer) && answer.jsonrpc === "2.0") return answer;
    } catch (error) {
      // Said below.
    }
    throw new Unreachable(`${name} is no Ethereum endpoint: it does not answer in JSON-RPC`);
  }

  // `read` on what an endpoint answered: anything else is the endpoint's fault, not that of what is being checked.
  function readAnswer(read, value, what) {
    try {
      return read(value, what);
    } catch (error) {
      throw error instanceof Refusal ? new Unreachable(`a strange answer: ${error.message}`) : error;
    }
  }

  const L1_BLOCK = object({ number: U64, hash: HASH, timestamp: U64 });

  // A view of the contract, as `count` words. Refused if there is no such contract.
  async function askView(ethereum, settlement, form, argument, tag, count) {
    const problem = `there is no Settlement contract at ${showAddress(settlement)} on ${ethereum.name}`;
    const call = { to: show(settlement), data: show(hashText(form).slice(0, 8) + argument) };
    let answer;
    try {
      answer = await ethereum.ask("eth_call", call, tag);
    } catch (error) {
      if (error instanceof RpcFault && error.isRevert) refuse("invalid_proof", `${problem}: ${form} reverts`);
      throw error;
    }
    if (typeof answer !== "string" || !/^0x([0-9a-fA-F]{64})*$/.test(answer) || answer.length !== 2 + 64 * count) {
      refuse("invalid_proof", `${problem}: ${form} is not answered`);
    }
    return answer.slice(2).toLowerCase().match(/.{64}/g);
  }

  const toInteger = (hexWord) => BigInt(show(hexWord));

  // All that is held against Ethereum, on the endpoint's word; what changes is read as of one block.
  // Raises Unreachable when it cannot be asked, Refusal when there is no such contract.
  async function readFacts(ethereum, settlement, { epoch, l1Transaction, l1ChainId, isSearching }) {
    const view = async (form, tag = "latest", argument = "", count = 1) =>
      askView(ethereum, settlement, form, argument, tag, count);
    const chainId = readAnswer(U64, await ethereum.ask("eth_chainId"), "eth_chainId");
    if (l1ChainId !== null && chainId !== l1ChainId) {
      throw new Unreachable(`${ethereum.name} is of chain ${chainId}, the contract is on chain ${l1ChainId}`);
    }
    const [form, operator, ledgerChainId, challengePeriod, maxSilence] = await Promise.all([
      ethereum.ask("eth_getBlockByNumber", "latest", false),
      view("operator()"),
      view("ledgerChainId()"),
      view("challengePeriod()"),
      isSearching ? view("maxSilence()") : [EMPTY],
    ]);
    const block = readAnswer(L1_BLOCK, form, "the latest block");
    const tag = "0x" + block.number.toString(16);
    const [head, stored, transaction] = await Promise.all([
      view("head()", tag, "", 3),
      view("commitmentHash(uint64)", tag, word(epoch)),
      l1Transaction === null ? null : askTransaction(ethereum, l1Transaction),
    ]);
    return {
      name: ethereum.name,
      l1ChainId: chainId,
      block,
      operator: operator[0].slice(24),
      ledgerChainId: toInteger(ledgerChainId[0]),
      challengePeriod: toInteger(challengePeriod[0]),
      maxSilence: toInteger(maxSilence[0]),
      committedEpoch: toInteger(head[0]),
      includedAt: toInteger(head[1]),
      finalEpoch: toInteger(head[2]),
      stored: stored[0],
      transaction,
    };
  }

  // What the transaction did is no part of what the commitment rests on: an endpoint that will not say is no obstacle.
  async function askTransaction(ethereum, l1Transaction) {
    try {
      return { form: await ethereum.ask("eth_getTransactionReceipt", show(l1Transaction)), trouble: null };
    } catch (error) {
      if (error instanceof Unreachable) return { form: null, trouble: error.message };
      throw error;
    }
  }

  const COMMITTED_TOPIC = hashText(
    "Committed(uint64,bytes32,uint64,(uint64,bytes32,uint64,uint64,uint64,bytes32,bytes32," +
      "(address,bytes32,uint128,uint64,uint64,uint64,bytes32,uint64,uint128)[]),bytes)",
  );

  // Whether the contract said in this transaction that it included the commitment at that time.
  function hasCommitted(form, settlement, epoch, digest, includedAt) {
    const topics = [COMMITTED_TOPIC, word(epoch), digest].map(show).join();
    return (Array.isArray(form.logs) ? form.logs : []).some(
      (log) =>
        isObject(log) && Array.isArray(log.topics) && log.topics.join().toLowerCase() === topics &&
        String(log.address).toLowerCase() === show(settlement) &&
        String(log.data).toLowerCase().startsWith(show(word(includedAt))),
    );
  }

  // --- steps

  class Checks {
    constructor() {
      this.steps = [];
    }

    // What `check` found: `detail`, values to show, and `outcome` if it is not "ok". Null when it refuses, which is noted.
    run(name, title, check) {
      try {
        const found = check();
        this.note(name, title, found.outcome || "ok", found.detail, found);
        return found;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.note(name, title, "failed", error.message, error.values);
        return null;
      }
    }

    skip(name, title, why, values = {}) {
      this.note(name, title, "skipped", why, values);
    }

    note(name, title, outcome, detail, { computed = null, expected = null, path = null }) {
      this.steps.push({ name, title, outcome, detail, computed, expected, path });
    }

    hasFailed(...names) {
      return this.steps.some((step) => step.outcome === "failed" && (!names.length || names.includes(step.name)));
    }
  }

  const NO_L1 = "cannot be told without an Ethereum endpoint";
  const TITLES = {
    receipt: "The file is a receipt",
    "account proof": "The file is an account proof",
    "registry proof": "The file is a registry proof",
    subject: "It is what was asked for",
    domain: "It names its ledger",
    contract: "The contract on Ethereum answers",
    ledger: "The ledger is that of the contract",
    "block hash": "The block’s header gives its hash",
    "operator signature": "The operator signed the block",
    "block path": "The block stands in the epoch’s commitment",
    commitment: "Ethereum holds that commitment",
    transaction: "The Ethereum transaction brought it",
    finality: "Ethereum says how far it has come",
    status: "The status in the file is not ahead of that",
    withdrawal: "The withdrawal can be claimed by its proof",
    leaf: "The account’s entry does not contradict itself",
    "state path": "The account stands in the epoch’s commitment",
    "registry path": "The entry stands in the epoch’s commitment",
    seal: "The operator signed the commitment",
  };

  // What differs between receipts: the steps' names, the record's type in the block, who signs, structure and hash.
  const CONTENTS = {
    payment: { who: "payer", type: 1, signer: "from", check: checkStructure, hash: hashPayment },
    instruction: { who: "account", type: 4, signer: "account", check: checkInstruction, hash: hashInstruction },
  };

  // `form`: parsed JSON of a receipt, or of a payment, account or registry proof, bare or within its JSON-RPC reply.
  // Options: `l1Url`, an Ethereum endpoint; `settlement` and `l1ChainId`, which contract it must be about;
  // `expected`, what was asked for, as `readSource` gives it.
  async function verify(form, options = {}) {
    const settings = {
      ethereum: options.l1Url ? openEthereum(options.l1Url) : null,
      settlement: options.settlement ? ADDRESS(options.settlement, "the contract’s address") : null,
      l1ChainId: options.l1ChainId ? BigInt(options.l1ChainId) : null,
      expected: options.expected || {},
    };
    const checks = new Checks();
    let document;
    try {
      document = identify(form);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      checks.note("receipt", TITLES.receipt, "failed", error.message, {});
      return report(checks, settings, { kind: null });
    }
    return document.kind in PROOFS
      ? verifyProof(checks, settings, document)
      : verifyReceipt(checks, settings, document);
  }

  function openEthereum(url) {
    try {
      return new Ethereum(url);
    } catch (error) {
      if (error instanceof Unreachable) return error;
      throw error;
    }
  }

  // What a document is, by its members. Refused, in words for people, when it is nothing that can be verified.
  function identify(form, isInner = false) {
    const has = (name) => hasOwn(form, name);
    if (!isObject(form)) refuse("malformed", "not a JSON object, so neither a receipt nor a proof");
    if (has("jsonrpc") && !isInner) {
      if (has("result")) return identify(form.result, true);
      const message = isObject(form.error) ? String(form.error.message).slice(0, 200) : "nothing";
      refuse("malformed", `the node’s answer is an error, not a receipt: ${message}`);
    }
    if (has("receipt") && !has("id")) return { kind: "payment proof", receipt: form.receipt, form };
    if (has("leaf") && has("siblings")) return { kind: "account proof", form };
    if (has("entry") && has("siblings")) return { kind: "registry proof", form };
    const content = nameContent(form);
    if (has(content) && has("block")) return { kind: "receipt", receipt: form, form };
    if (has(content) && has("signature")) {
      refuse("malformed", `a signed ${content} without a block: no operator has promised anything for it yet`);
    }
    return refuse("malformed", "neither a receipt, nor a proof of a payment, an account or an entry of the registry");
  }

  async function verifyReceipt(checks, settings, document) {
    const receipt = checks.run("receipt", TITLES.receipt, () => {
      const found = RECEIPT(document.receipt, "receipt");
      return { ...found, detail: `${nameContent(found)} ${show(found.id)}` };
    });
    if (receipt === null) return report(checks, settings, { kind: document.kind });
    checkSubject(checks, settings.expected, { id: receipt.id });

    const stated = checks.run("domain", TITLES.domain, () => readDomain(receipt.domain));
    const settlement = settings.settlement || (stated && stated.verifyingContract);
    const inclusion = receipt.commitment;
    const facts = await askContract(checks, settings, settlement, {
      epoch: inclusion ? inclusion.message.epoch : 0n,
      l1Transaction: inclusion ? inclusion.l1Transaction : null,
      isSearching: false,
    });
    const domain = chooseDomain(settings, settlement, facts, stated);
    checkLedger(checks, settings, stated, domain, facts);
    checkPromise(checks, receipt, domain, facts);
    let verdict = "accepted";
    if (inclusion === null) {
      checks.skip("commitment", TITLES.commitment, "it is not on Ethereum yet: so far the operator’s word stands for it");
    } else {
      const digest = checkInclusion(checks, receipt, domain, facts);
      checkStored(checks, inclusion, digest, facts);
      checkTransaction(checks, inclusion, settlement, digest, facts);
      verdict = judgeFinality(checks, inclusion.message.epoch, inclusion.includedAt, facts);
    }
    checkStatus(checks, receipt, verdict, facts);
    if (document.kind === "payment proof") checkWithdrawal(checks, document.form, receipt);
    return report(checks, settings, { kind: document.kind, verdict, settlement, facts, domain, receipt });
  }

  // What is proven from a sealed commitment: how it is read, what it is about, and the steps that are its own.
  const PROOFS = {
    "account proof": {
      read: ACCOUNT_PROOF,
      name: ({ leaf: { owner, asset } }) => ({ owner, asset }),
      steps: { leaf: checkLeaf, "state path": checkState },
    },
    "registry proof": {
      read: REGISTRY_PROOF,
      name: ({ entry: { account, file } }) => (account ? { account } : { file }),
      steps: { "registry path": checkEntry },
    },
  };

  async function verifyProof(checks, settings, { kind, form }) {
    const { read, name, steps } = PROOFS[kind];
    const proof = checks.run("proof", TITLES[kind], () => {
      const found = read(form, "proof");
      const named = Object.entries(name(found)).map(([what, hex]) => `${what} ${show(hex)}`);
      return { ...found, detail: `${named.join(", ")}, epoch ${found.epoch}` };
    });
    if (proof === null) return report(checks, settings, { kind });
    const { epoch } = proof;
    checkSubject(checks, settings.expected, { ...name(proof), epoch });
    const { settlement } = settings;
    const facts = await askContract(checks, settings, settlement, { epoch, l1Transaction: null, isSearching: true });
    const domain = chooseDomain(settings, settlement, facts, null);
    if (facts) checkLedger(checks, settings, domain, domain, facts);
    for (const [step, check] of Object.entries(steps)) checks.run(step, TITLES[step], () => check(proof));
    const digest = domain && computeDigest(domain, hashCommitment(proof.commitment.message));
    checkOperator(checks, "seal", digest, proof.commitment.signature, facts);
    const verdict = await searchCommitment(checks, proof, digest, facts);
    return report(checks, settings, { kind, verdict, settlement, facts, domain, proof });
  }

  // --- the steps, in order

  function checkSubject(checks, expected, found) {
    const names = Object.keys(expected).filter((name) => expected[name] !== null);
    if (!names.length) return;
    checks.run("subject", TITLES.subject, () => {
      for (const name of names) {
        if (!hasOwn(found, name)) refuse("invalid_proof", `the answer is about no ${name}`);
        if (expected[name] !== found[name]) {
          const [computed, asked] = [found[name], expected[name]].map((value) =>
            typeof value === "bigint" ? String(value) : show(value),
          );
          refuse("invalid_proof", `the answer is about another ${name}`, { computed, expected: asked });
        }
      }
      return { detail: `the same ${names.join(", ")}` };
    });
  }

  function readDomain(form) {
    const domain = DOMAIN(form, "domain");
    if (domain.name !== "Tallystick" || domain.version !== "1") refuse("malformed", "the domain is not Tallystick 1");
    const { chainId, verifyingContract } = domain;
    const detail = `ledger ${chainId}, contract ${showAddress(verifyingContract)}`;
    return { chainId, verifyingContract, detail };
  }

  // Null when Ethereum cannot be asked (skipped), or there is no such contract there (failed).
  async function askContract(checks, settings, settlement, wanted) {
    const skip = (why) => {
      checks.skip("contract", TITLES.contract, why);
      return null;
    };
    const { ethereum, l1ChainId } = settings;
    if (!settlement) return skip("the contract’s address is not known: name it to have this checked");
    if (ethereum === null) return skip("no Ethereum endpoint was named");
    if (ethereum instanceof Unreachable) return skip(ethereum.message);
    try {
      const facts = await readFacts(ethereum, settlement, { ...wanted, l1ChainId });
      checks.run("contract", TITLES.contract, () => ({ detail: describeFacts(facts, settlement) }));
      return facts;
    } catch (error) {
      if (error instanceof Unreachable) return skip(error.message);
      if (!(error instanceof Refusal)) throw error;
      checks.note("contract", TITLES.contract, "failed", error.message, {});
      return null;
    }
  }

  function describeFacts(facts, settlement) {
    const { number, timestamp } = facts.block;
    const when = `L1 block ${number} (${showTime(timestamp * 1000n)})`;
    const who = `operator ${showAddress(facts.operator)}, contract ${showAddress(settlement)}`;
    return `chain ${facts.l1ChainId}, as ${facts.name} says of ${when}: ${who}`;
  }

  function chooseDomain(settings, settlement, facts, stated) {
    const l1ChainId = facts ? facts.l1ChainId : settings.l1ChainId;
    return settlement && l1ChainId !== null ? makeDomain(l1ChainId, settlement) : stated;
  }

  // The domain that the receipt names is the one that follows from Ethereum's chain id and the contract.
  function checkLedger(checks, settings, stated, domain, facts) {
    const isKnown = facts !== null || settings.l1ChainId !== null;
    const pinned = settings.settlement;
    const isOpen = isKnown ? !domain : !pinned || (stated && stated.verifyingContract === pinned);
    if (isOpen) {
      checks.skip("ledger", TITLES.ledger, "which Ethereum chain the contract is on is not known without an endpoint");
      return;
    }
    checks.run("ledger", TITLES.ledger, () => {
      if (facts && facts.ledgerChainId !== domain.chainId) {
        refuse("invalid_proof", `the contract was deployed as ledger ${facts.ledgerChainId}`, {
          computed: String(domain.chainId), expected: String(facts.ledgerChainId),
        });
      }
      const computed = isKnown ? describeLedger(domain) : `contract ${showAddress(pinned)}`;
      const values = { computed, expected: stated ? describeLedger(stated) : "no ledger" };
      if (computed !== values.expected) refuse("invalid_proof", "the receipt is of another ledger", values);
      return { detail: computed, ...values };
    });
  }

  const describeLedger = (domain) => `ledger ${domain.chainId} of contract ${showAddress(domain.verifyingContract)}`;

  // What the operator promised by accepting.
  function checkPromise(checks, receipt, domain, facts) {
    const { id, block } = receipt;
    const thing = nameContent(receipt);
    const content = receipt[thing];
    const { who, type, signer, check, hash } = CONTENTS[thing];
    runWith(checks, `${thing} id`, domain, () => {
      check(content);
      return compare(computeDigest(domain, hash(content)), id, `the ${thing}’s fields give another id`);
    }, `The ${thing}’s fields give its id`);
    const title = `The ${who} signed the ${thing}`;
    checks.run(`${who} signature`, title, () => checkSigner(id, receipt.signature, content[signer], ""));
    checks.run("time", `The ${thing} had not expired`, () => {
      const limit = content.validUntil;
      const dated = `block ${block.number} is of ${showTime(block.timestamp)}`;
      if (limit && block.timestamp > limit * 1000n) {
        refuse("expired", `valid until ${showTime(limit * 1000n)}, and ${dated}`);
      }
      return { detail: limit ? `${dated}, the ${thing} was valid until ${showTime(limit * 1000n)}` : dated };
    });
    const blockHash = domain && computeDigest(domain, hashHeader(block));
    runWith(checks, "block hash", domain, () => compare(blockHash, block.hash, "the header gives another hash"));
    checks.run("record path", `The ${thing} stands in the block`, () => {
      const item = encodeRecordItem(type, id);
      const proven = checkListProof(item, BigInt(receipt.index), block.recordCount, receipt.siblings, block.recordsRoot);
      return { ...proven, detail: `record ${receipt.index} of ${block.recordCount} in block ${block.number}` };
    });
    checkOperator(checks, "operator signature", blockHash, block.signature, facts);
  }

  // Without the contract nothing says who the operator is; that somebody signed, and who, can be told all the same.
  function checkOperator(checks, name, digest, signature, facts) {
    runWith(checks, name, digest, () => {
      if (facts) return checkSigner(digest, signature, facts.operator, "the contract’s operator ");
      const signer = showAddress(recoverAddress(digest, signature));
      const detail = `whether the contract’s operator signed it ${NO_L1}; somebody did, with the key of ${signer}`;
      return { outcome: "skipped", detail, computed: signer };
    });
  }

  function runWith(checks, name, needed, check, title = TITLES[name]) {
    if (needed) checks.run(name, title, check);
    else checks.skip(name, title, "the ledger is not known, and every signed hash depends on it");
  }

  function compare(computed, expected, problem) {
    const values = { computed: show(computed), expected: show(expected) };
    if (computed !== expected) refuse("invalid_proof", problem, values);
    return { detail: show(computed), ...values };
  }

  // Returns the commitment's digest.
  function checkInclusion(checks, receipt, domain, facts) {
    const { block, commitment: inclusion } = receipt;
    const { message } = inclusion;
    runWith(checks, "block path", domain, () => {
      if (inclusion.epoch !== message.epoch) {
        refuse("invalid_proof", `the receipt says epoch ${inclusion.epoch}, its commitment is of ${message.epoch}`);
      }
      if (block.number !== message.firstBlock + inclusion.index) {
        refuse("invalid_proof", `place ${inclusion.index} of epoch ${message.epoch} is not block ${block.number}`);
      }
      if (block.timestamp > message.cutAt) refuse("invalid_proof", "the block is later than the end of the epoch");
      const count = message.lastBlock - message.firstBlock + 1n;
      const blockHash = computeDigest(domain, hashHeader(block));
      const proven = checkListProof(blockHash, inclusion.index, count, inclusion.siblings, message.blocksRoot);
      return { ...proven, detail: `block ${inclusion.index} of ${count} in epoch ${message.epoch}` };
    });
    return domain && computeDigest(domain, hashCommitment(message));
  }

  function checkStored(checks, inclusion, digest, facts) {
    const { epoch } = inclusion.message;
    if (!facts) {
      checks.skip("commitment", TITLES.commitment, `that ${NO_L1}`, { computed: digest && show(digest) });
      return;
    }
    checks.run("commitment", TITLES.commitment, () => {
      if (epoch === 0n || epoch > facts.committedEpoch) {
        const problem = `as of L1 block ${facts.block.number} the contract has ${facts.committedEpoch} epochs`;
        refuse("invalid_proof", problem, { computed: show(digest) });
      }
      const problem = `the contract stores another commitment for epoch ${epoch}, or another time of inclusion`;
      const compared = compare(computeStoredHash(digest, inclusion.includedAt), facts.stored, problem);
      return { ...compared, detail: `the contract stores it for epoch ${epoch}, digest ${show(digest)}` };
    });
  }

  function checkTransaction(checks, inclusion, settlement, digest, facts) {
    const name = show(inclusion.l1Transaction);
    const skip = (why) => checks.skip("transaction", TITLES.transaction, why, { computed: name });
    if (!facts) return skip(`that ${NO_L1}`);
    const { form, trouble } = facts.transaction;
    if (trouble) return skip(trouble);
    return checks.run("transaction", TITLES.transaction, () => {
      if (!isObject(form)) refuse("invalid_proof", `${facts.name} knows no transaction ${name}`);
      if (!hasCommitted(form, settlement, inclusion.message.epoch, digest, inclusion.includedAt)) {
        refuse("invalid_proof", `transaction ${name} did not bring this commitment`);
      }
      return { detail: name };
    });
  }

  // The verdict so far: "committed" or "final"; null without evidence.
  function judgeFinality(checks, epoch, includedAt, facts) {
    const title = TITLES.finality;
    if (!facts) {
      checks.skip("finality", title, `that ${NO_L1}`);
      return null;
    }
    if (checks.hasFailed("commitment")) {
      checks.skip("finality", title, "there is nothing on Ethereum that could be final");
      return null;
    }
    const end = includedAt + facts.challengePeriod;
    const isFinal = epoch <= facts.finalEpoch || facts.block.timestamp > end;
    checks.run("finality", title, () => ({
      detail: isFinal ? "final: it can no longer be questioned" : `committed; final after ${showTime(end * 1000n)}`,
    }));
    return isFinal ? "final" : "committed";
  }

  // The status that a node wrote may lag behind Ethereum, but not run ahead.
  function checkStatus(checks, receipt, verdict, facts) {
    const { status, commitment } = receipt;
    const isOpen = commitment !== null && verdict === null;
    if (isOpen && status in RANKS && status !== "accepted") {
      checks.skip("status", TITLES.status, `it says ${status}; ${facts ? "nothing bears that out" : `whether that is so ${NO_L1}`}`);
      return;
    }
    checks.run("status", TITLES.status, () => {
      if ((status === "accepted") !== (commitment === null)) {
        refuse("invalid_proof", `the receipt says ${status} and has ${commitment ? "a" : "no"} commitment`);
      }
      if (!(status in RANKS)) refuse("invalid_proof", `the receipt says ${status}: the ${nameContent(receipt)} is not in force`);
      if (RANKS[status] > RANKS[verdict]) refuse("invalid_proof", `the file says ${status}, Ethereum says ${verdict}`);
      return { detail: status };
    });
  }

  function checkWithdrawal(checks, form, receipt) {
    const title = TITLES.withdrawal;
    if (form.withdrawal === null) {
      checks.skip("withdrawal", title, "the file holds no claim of a withdrawal");
      return;
    }
    if (receipt.commitment === null) {
      checks.skip("withdrawal", title, "the epoch is not on Ethereum yet");
      return;
    }
    checks.run("withdrawal", title, () => {
      const { withdrawal, assetIndex } = object({ withdrawal: CLAIM, assetIndex: U64 })(form, "proof");
      const { kind, asset, outputs } = receipt.payment || {};
      const isSame =
        kind === "withdraw" && outputs.length === 1 && withdrawal.id === receipt.id && withdrawal.asset === asset &&
        withdrawal.recipient === outputs[0].to && withdrawal.amount === outputs[0].amount;
      if (!isSame) refuse("invalid_proof", "the claim is of another withdrawal than this payment");
      const proven = checkClaim(withdrawal, receipt.commitment.message);
      if (assetIndex !== BigInt(proven.assetIndex)) refuse("invalid_proof", "the asset stands at another place");
      const { amount, recipient } = withdrawal;
      return { ...proven, detail: `${describeAmount(amount, asset)} for ${showAddress(recipient)} on Ethereum` };
    });
  }

  function checkLeaf({ leaf, epoch }) {
    if (leaf.epoch > epoch) refuse("invalid_proof", `the entry is of epoch ${leaf.epoch}, the proof of epoch ${epoch}`);
    if (!isLeafSound(leaf)) refuse("invalid_proof", "the entry contradicts itself");
    const closing = computeClosing(leaf);
    if (closing !== leaf.closing) {
      const values = { computed: String(closing), expected: String(leaf.closing) };
      refuse("invalid_proof", "opening, debits and credits give another closing balance", values);
    }
    return { detail: `${leaf.opening} + ${leaf.credits} − ${leaf.debits} = ${closing} base units` };
  }

  function checkEpoch({ epoch, commitment: { message } }) {
    if (epoch === message.epoch) return message;
    return refuse("invalid_proof", `the proof says epoch ${epoch}, its commitment is of ${message.epoch}`);
  }

  function checkEntry(proof) {
    const { entry, index, count, siblings } = proof;
    const proven = checkRegistryProof(entry, index, count, siblings, checkEpoch(proof).extraRoot);
    return { ...proven, detail: `entry ${index} of ${count}` };
  }

  function checkState(proof) {
    const { leaf, index, siblings } = proof;
    const message = checkEpoch(proof);
    const { index: assetIndex, line } = findLine(message, leaf.asset);
    if (proof.assetIndex !== BigInt(assetIndex)) refuse("invalid_proof", "the asset stands at another place");
    const node = { hash: hashLeaf(encodeLeaf(leaf)), sum: computeClosing(leaf) };
    const root = { hash: line.stateRoot, sum: line.total };
    const detail = `account ${index} of ${line.accountCount}, and all balances add up to ${line.total}`;
    return { ...checkSumProof(node, index, line.accountCount, siblings, root), detail };
  }

  // The contract stores H(digest ‖ time of inclusion). An account proof does not say that time, but the contract bounds
  // it, so it is found by trying: whatever time fits, the contract holds exactly this digest.
  async function searchCommitment(checks, proof, digest, facts) {
    const { epoch, cutAt } = proof.commitment.message;
    const title = TITLES.commitment;
    if (!facts) {
      checks.skip("commitment", title, `that ${NO_L1}`, { computed: digest && show(digest) });
      return judgeFinality(checks, epoch, 0n, facts);
    }
    if (epoch > facts.committedEpoch) {
      checks.skip("commitment", title, "it is not on Ethereum yet: so far the operator’s word stands for it");
      return "accepted";
    }
    const includedAt = await findInclusion(digest, epoch, cutAt, facts);
    checks.run("commitment", title, () => {
      const values = { computed: show(digest), expected: show(facts.stored) };
      if (includedAt === null) refuse("invalid_proof", `the contract stores another commitment for epoch ${epoch}`, values);
      const at = showTime(includedAt * 1000n);
      return { detail: `the contract stores it for epoch ${epoch}, included ${at}`, ...values };
    });
    return judgeFinality(checks, epoch, includedAt || 0n, facts);
  }

  async function findInclusion(digest, epoch, cutAt, facts) {
    const isStored = (time) => computeStoredHash(digest, time) === facts.stored;
    if (facts.committedEpoch === epoch) return isStored(facts.includedAt) ? facts.includedAt : null;
    const first = (cutAt + 999n) / 1000n;
    const span = facts.maxSilence < MAX_SEARCH_S ? facts.maxSilence : MAX_SEARCH_S;
    const last = first + span < facts.block.timestamp ? first + span : facts.block.timestamp;
    for (let time = first; time <= last; time++) {
      if (isStored(time)) return time;
      // A long search lets the page live.
      if ((time - first) % BigInt(SEARCH_CHUNK) === 0n) await new Promise((resolve) => setTimeout(resolve));
    }
    if (facts.maxSilence > MAX_SEARCH_S && last === first + MAX_SEARCH_S) {
      throw new Unreachable("the time of the commitment was not found within 30 days of its cut, and not sought beyond");
    }
    return null;
  }

  // --- what it came to

  function report(checks, settings, { kind, verdict = null, settlement = null, facts = null, receipt, proof }) {
    const commitment = receipt ? receipt.commitment && receipt.commitment.message : proof && proof.commitment.message;
    const failed = checks.steps.filter((step) => step.outcome === "failed").length;
    const found = failed || kind === null ? "failed" : facts === null ? "unchecked" : verdict;
    return {
      kind,
      verdict: found,
      summary: summarise(found, failed, nameThing(receipt, proof), commitment),
      steps: checks.steps,
      settlement: settlement && showAddress(settlement),
      isPinned: settings.settlement !== null,
      operator: facts && showAddress(facts.operator),
      epoch: commitment ? commitment.epoch : null,
      trouble: facts === null ? findTrouble(checks) : null,
      l1: facts && {
        name: facts.name, chainId: facts.l1ChainId, block: facts.block.number, time: showTime(facts.block.timestamp * 1000n),
      },
      subject: describe(receipt, proof),
    };
  }

  // Why Ethereum was not asked.
  function findTrouble(checks) {
    const step = checks.steps.find(({ name, outcome }) => name === "contract" && outcome === "skipped");
    return step ? step.detail : null;
  }

  function nameThing(receipt, proof) {
    if (!proof) return receipt ? nameContent(receipt) : "";
    return proof.leaf ? "account’s balance" : `${nameEntry(proof.entry)}’s entry`;
  }

  function summarise(verdict, failed, thing, commitment) {
    switch (verdict) {
      case "failed":
        return failed === 1 ? "It does not hold: one check failed." : `It does not hold: ${failed} checks failed.`;
      case "accepted":
        return `The operator has signed for this ${thing}. Nothing of it is on Ethereum yet.`;
      case "committed":
        return `This ${thing} is in the commitment of epoch ${commitment.epoch}, which Ethereum holds. It may still be questioned.`;
      case "final":
        return `This ${thing} is in the commitment of epoch ${commitment.epoch}, which Ethereum holds and nobody can question any more.`;
      default:
        return "It agrees with itself, and that is all that is known: whether it is true was not checked against Ethereum.";
    }
  }

  // [label, text] of what the document says, for the reader to compare with what they know.
  function describe(receipt, proof) {
    if (receipt) return describeReceipt(receipt);
    return proof ? (proof.leaf ? describeAccount : describeEntry)(proof) : [];
  }

  function describeReceipt(receipt) {
    const { block, commitment } = receipt;
    const lines = (receipt.payment ? describePayment : describeInstruction)(receipt);
    lines.push(["Block", `${block.number}, ${showTime(block.timestamp)}`]);
    if (commitment) lines.push(["Epoch", String(commitment.message.epoch)]);
    return lines;
  }

  function describePayment({ id, payment }) {
    const isWithdrawal = payment.kind === "withdraw";
    const lines = [["Payment", show(id)], ["Kind", payment.kind], ["From", showAddress(payment.from)]];
    for (const { to, amount } of payment.outputs) {
      lines.push(["To", showAddress(to) + (isWithdrawal ? " on Ethereum" : "")]);
      lines.push(["Amount", describeAmount(amount, payment.asset)]);
    }
    if (payment.reference !== EMPTY) lines.push(["Reference", show(payment.reference)]);
    if (payment.memo) lines.push(["Memo", payment.memo]);
    return lines;
  }

  function describeInstruction({ id, instruction }) {
    const { type } = instruction;
    return [["Instruction", show(id)], ["Type", type], ...describeMembers(INSTRUCTIONS[type], instruction)];
  }

  const describeEntry = ({ entry, epoch }) => [
    ...describeMembers(ENTRIES[nameEntry(entry)], entry), ["Epoch", String(epoch)],
  ];

  // But for what is empty, zero, or said with something else.
  function describeMembers(described, form) {
    const lines = [];
    for (const [kind, name] of parseMembers(described)) {
      const value = form[name];
      if (!value || value === EMPTY || value.length === 0 || ["nonce", "asset"].includes(name)) continue;
      const label = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
      lines.push([label[0].toUpperCase() + label.slice(1), describeMember(kind, name, value, form)]);
    }
    return lines;
  }

  function describeMember(kind, name, value, { asset }) {
    if (name === "price") return asset ? describeAmount(value, asset) : `${value} base units`;
    if (name.endsWith("Until")) return showTime(value * 1000n);
    if (kind.startsWith("address")) return showAddress(value);
    if (kind.startsWith("bytes")) return show(value);
    return Array.isArray(value) ? value.join(", ") : String(value);
  }

  function describeAccount({ leaf, epoch }) {
    return [
      ["Account", showAddress(leaf.owner)],
      ["Asset", leaf.asset === ETHER ? "ether" : showAddress(leaf.asset)],
      ["Epoch", String(epoch)],
      ["Balance", describeAmount(computeClosing(leaf), leaf.asset)],
      ["Last change", `epoch ${leaf.epoch}`],
    ];
  }

  // The decimals of a token are not in the proof; those of ether are known.
  function describeAmount(amount, asset) {
    if (asset !== ETHER) return `${amount} base units of ${showAddress(asset)}`;
    const digits = amount.toString().padStart(19, "0");
    const fraction = digits.slice(-18).replace(/0+$/, "");
    return `${digits.slice(0, -18)}${fraction && "." + fraction} ETH`;
  }

  // Milliseconds since 1970. What is beyond every calendar is shown as it stands.
  function showTime(milliseconds) {
    if (milliseconds > 8640000000000000n) return `${milliseconds} ms`;
    return new Date(Number(milliseconds)).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  }

  // --- what pages use besides

  // Parsed JSON. Refused, in words for people, when it is none.
  function parse(content) {
    if (content.length > MAX_SIZE) refuse("malformed", "more than a megabyte: no receipt or proof is that large");
    if (!content.trim()) refuse("malformed", "there is nothing in it");
    try {
      return JSON.parse(content);
    } catch (error) {
      return refuse("malformed", "it is not JSON, as receipts and proofs are");
    }
  }

  // What an address of the node's REST interface asks for.
  function readSource(source) {
    const url = new URL(source, "http://localhost");
    const find = (pattern, place) => ((found) => (found ? found[1].toLowerCase() : null))(pattern.exec(place || ""));
    const id = find(/\/(?:payments|instructions)\/0x([0-9a-f]{64})\//i, url.pathname);
    if (id) return { id };
    const stated = url.searchParams.get("epoch") || "";
    const epoch = /^[0-9]+$/.test(stated) ? BigInt(stated) : null;
    const file = find(/\/files\/0x([0-9a-f]{64})\//i, url.pathname);
    if (file) return { file, epoch };
    const account = find(/\/accounts\/0x([0-9a-f]{40})\//i, url.pathname);
    if (url.pathname.endsWith("/roles/proof")) return { account, epoch };
    return { owner: account, asset: find(/^0x([0-9a-f]{40})$/i, url.searchParams.get("asset")), epoch };
  }

  return {
    verify, parse, identify, readSource, Refusal, Unreachable, MAX_SIZE,
    // For the shared vectors.
    decoders: { PAYMENT, INSTRUCTION, ENTRY, HEADER, COMMITMENT, LEAF, CLAIM, SUM_NODE, SUM_PATH, HASH, ADDRESS, U64 },
    bytes: {
      hashListLeaf, climbList, checkListProof, climbSums, checkSumProof, hashSumNode, encodeLeaf, hashLeaf, isLeafSound,
      computeClosing, hashWithdrawal, checkClaim, checkStructure, hashPayment, checkInstruction, hashInstruction,
      encodeEntry, computeExtraRoot, checkRegistryProof, hashHeader, hashCommitment,
      computeDigest, computeStoredHash, computeLedgerChainId, hashDomain, recoverAddress, checkSigner, keccak,
    },
  };
})();
