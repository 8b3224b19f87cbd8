// All that the pages use of the two libraries. The bundler leaves out whatever these do not need.
export { keccak_256 } from "@noble/hashes/sha3.js";
export { recoverPublicKey } from "@noble/secp256k1";
