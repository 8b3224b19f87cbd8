// Sections of pages in which the reader's own browser checks a proof: of the payment, instruction, account or entry of
// the registry that a page is about, or of a file that the reader brings. What is checked, and how, is verifier.js's.
//
//   <section class="verify" data-verify="receipt" or "account" or "registry" or "file" data-source="where the document is"
//     data-settlement="the contract that the node names" data-chain-id="its Ethereum chain" data-l1-url="an endpoint">
//
// The section must not lie in an element that live.js replaces. The two large scripts that do the work are loaded when
// they are asked for; a page that has them already (the Verify page, as one file) loads nothing.
"use strict";
(function () {
  const script = document.currentScript;
  const PARTS = ((script && script.dataset.parts) || "").split(" ").filter(Boolean);
  const IS_SERVED = location.protocol === "http:" || location.protocol === "https:";
  const MARKS = { ok: ["done", "holds"], failed: ["failed", "does not hold"], skipped: ["todo", "not checked"] };
  const VERDICTS = {
    failed: ["trouble", "✕ Does not hold"],
    unchecked: ["", "○ Not checked against Ethereum"],
    accepted: ["", "● Accepted"],
    committed: ["good", "✓ Committed"],
    final: ["good", "✓ Final"],
  };
  const HEX = /(0x[0-9a-fA-F]{40,})/;
  const WORDS = ["Kind", "Memo", "Type", "Role", "Name", "Media type", "Tags", "Description"]; // others chose them
  const FORMLESS = /(?! |\u200d\p{So})[\p{C}\p{Z}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]/gu;
  let sections = 0;
  let loading = null;

  // --- elements

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  }

  // Long hex shortened to the eye, whole when it is focused or copied; the rest as it is.
  function shorten(text) {
    return text.split(HEX).map((part) => {
      if (!HEX.test(part)) return part;
      const [head, tail] = [part.slice(0, -4), part.slice(-4)];
      return make("code", { class: "short", tabindex: "0", title: part }, make("span", {}, head), make("i"), tail);
    });
  }

  function makeField(label, attributes, hint) {
    const id = `verify-${sections}-${attributes.name}`;
    const input = make("input", { id, autocomplete: "off", spellcheck: "false", ...attributes });
    const field = make("div", { class: "field" }, make("label", { for: id }, label), input);
    if (hint) {
      input.setAttribute("aria-describedby", `${id}-hint`);
      field.append(make("p", { class: "hint", id: `${id}-hint` }, hint));
    }
    return { field, input };
  }

  // --- what the browser remembers, if it may

  function remember(key, value) {
    try {
      if (value) localStorage.setItem(key, value);
      else localStorage.removeItem(key);
    } catch (error) {
      // Storage may be forbidden: then the address is typed again next time.
    }
  }

  function recall(key) {
    try {
      return localStorage.getItem(key);
    } catch (error) {
      return null;
    }
  }

  // --- one section

  function setUp(section) {
    if (section.dataset.ready) return;
    section.dataset.ready = "yes";
    sections += 1;
    const above = section.querySelector("h2, h3");
    const heading = above ? `h${Number(above.tagName[1]) + 1}` : "h2";
    const { verify: kind, source = "", settlement = "", chainId = "", l1Url = "" } = section.dataset;
    const key = `tallystick-l1-url-${chainId}`;
    const url = makeField(
      "Ethereum RPC",
      {
        type: "url", name: "l1", inputmode: "url", placeholder: "https://… or http://localhost:8545",
        value: recall(key) || l1Url,
      },
      "An endpoint that you trust: your own node, or a provider’s. Without one, only what the document says of itself is checked.",
    );
    const contract = makeField("Settlement contract", { name: "settlement", placeholder: "0x…", value: settlement });
    const chain = makeField("Ethereum chain id", { name: "chain", inputmode: "numeric", value: chainId });
    const about = make(
      "details",
      {},
      make("summary", {}, "Which contract"),
      make("div", { class: "filters" }, contract.field, chain.field),
    );
    const button = make("button", { type: "submit" }, "Verify");
    const send = make("div", { class: "send" }, button);
    const outcome = make("div", { class: "outcome" });
    const form = make("form", { class: "asking", novalidate: true });
    const paper = kind === "file" ? makePaper() : null;
    if (paper) form.append(paper.area);
    form.append(url.field, about, send);
    if (source && IS_SERVED) send.append(makeDownload(kind, source));
    section.append(form, outcome);
    const view = { section, heading, outcome, fields: [url, contract, chain], given: { settlement, chainId } };

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      check();
    });
    if (paper) bring(paper, view, check);

    async function check() {
      if (button.disabled) return;
      button.disabled = true;
      section.setAttribute("aria-busy", "true");
      button.textContent = "Verifying…";
      try {
        const options = readFields(view);
        if (options === null) return;
        remember(key, options.l1Url);
        await load();
        const document = paper ? readPaper(paper) : await fetchDocument(source);
        showReport(view, await tallystick.verifier.verify(document.form, { ...options, expected: document.expected }), options);
      } catch (error) {
        showProblem(view, error);
      } finally {
        button.disabled = false;
        button.textContent = "Verify";
        section.removeAttribute("aria-busy");
      }
    }
  }

  function makeDownload(kind, source) {
    const id = /0x[0-9a-fA-F]+/.exec(source);
    const [word, name] = kind === "receipt" ? ["receipt", "receipt"] : ["proof", kind];
    return make("a", { href: source, download: `${name}-${id ? id[0] : ""}.json` }, `Download this ${word}`);
  }

  // The reader's choices; null when one of them is no such thing, which is said beside it.
  function readFields({ section, fields }) {
    const [url, contract, chain] = fields;
    const wrong = fields.filter(({ input }) => {
      const value = input.value.trim();
      const problem = value && { l1: checkUrl, settlement: checkContract, chain: checkChain }[input.name](value);
      mark(input, problem || "");
      return problem;
    });
    if (wrong.length) {
      const details = wrong[0].input.closest("details");
      if (details) details.open = true;
      wrong[0].input.focus();
      return null;
    }
    const read = ({ input }) => input.value.trim();
    return { l1Url: read(url), settlement: read(contract), l1ChainId: read(chain) };
  }

  function checkUrl(value) {
    try {
      const { protocol, hostname } = new URL(value);
      if (protocol === "https:") return "";
      if (protocol === "http:" && ["localhost", "127.0.0.1"].includes(hostname)) return "";
    } catch (error) {
      // Said below.
    }
    return "An address that begins with https://, or with http://localhost for a node on this machine.";
  }

  const checkContract = (value) => (/^0x[0-9a-fA-F]{40}$/.test(value) ? "" : "An address is 0x and 40 hex digits.");
  const checkChain = (value) => (/^[1-9][0-9]{0,18}$/.test(value) ? "" : "A chain id is a number.");

  function mark(input, problem) {
    const [hint, id] = [`${input.id}-hint`, `${input.id}-error`];
    const shown = document.getElementById(id);
    if (shown) shown.remove();
    if (problem) input.after(make("p", { class: "error", id }, problem));
    const described = [problem && id, document.getElementById(hint) && hint].filter(Boolean).join(" ");
    for (const [name, value] of [["aria-invalid", problem && "true"], ["aria-describedby", described]]) {
      if (value) input.setAttribute(name, value);
      else input.removeAttribute(name);
    }
  }

  // --- documents

  async function fetchDocument(source) {
    const response = await fetch(source, { headers: { accept: "application/json" }, cache: "no-store" }).catch(() => {
      throw new Error("This node does not answer. With the receipt in a file, the Verify page checks it without the node.");
    });
    const content = await response.text();
    if (!response.ok) throw new Error(`This node has no such document: ${describeRefusal(content, response.status)}.`);
    return { content, form: tallystick.verifier.parse(content), expected: tallystick.verifier.readSource(source) };
  }

  function describeRefusal(content, status) {
    try {
      const { error } = JSON.parse(content);
      if (typeof error.message === "string") return error.message;
    } catch (error) {
      // Not for machines, then; the number has to do.
    }
    return `it answers ${status}`;
  }

  // Loads what does the work, in order.
  function load() {
    if (tallystick.verifier) return Promise.resolve();
    loading = loading || PARTS.reduce((before, part) => before.then(() => addScript(part)), Promise.resolve());
    return loading.catch((error) => {
      loading = null;
      throw error;
    });
  }

  function addScript(src) {
    return new Promise((resolve, reject) => {
      const added = make("script", { src });
      added.addEventListener("load", resolve);
      added.addEventListener("error", () => reject(new Error("The node did not give the scripts that verify. Please try again.")));
      document.head.append(added);
    });
  }

  // --- documents that the reader brings

  function makePaper() {
    const id = `verify-${sections}-document`;
    const area = make("textarea", {
      id, name: "document", rows: "7", autocomplete: "off", spellcheck: "false", placeholder: '{"id": "0x…", …}',
    });
    const file = make("input", { type: "file", id: `${id}-file`, accept: ".json,application/json,text/plain" });
    const note = make("p", { class: "hint", role: "status" });
    return {
      area: make(
        "div",
        { class: "drop" },
        make(
          "p",
          {},
          "Drop a receipt or a proof anywhere on this page, ",
          make("label", { for: file.id }, "choose the file "), file, ", or paste its text.",
        ),
        make("label", { class: "sr", for: id }, "Text of the document"),
        area, note,
      ),
      text: area, file, note,
      asked: { content: null, expected: {} },
    };
  }

  function readPaper({ text, asked }) {
    const form = tallystick.verifier.parse(text.value);
    tallystick.verifier.identify(form);
    return { form, expected: text.value === asked.content ? asked.expected : {} };
  }

  function bring(paper, view, check) {
    function take(content, from, expected = {}) {
      paper.text.value = content;
      // Browsers change the ends of lines in what they are given.
      paper.asked = { content: paper.text.value, expected };
      paper.note.textContent = from;
      return check();
    }

    async function takeFile(file) {
      if (!file) return;
      clear(view);
      if (file.size > tallystick.verifier.MAX_SIZE) {
        showProblem(view, new Error(`${file.name} has ${file.size} bytes: no receipt or proof is that large.`));
        return;
      }
      try {
        await take(await file.text(), `Read from ${file.name}.`);
      } catch (error) {
        showProblem(view, error);
      }
    }

    paper.file.addEventListener("change", () => {
      takeFile(paper.file.files[0]);
      paper.file.value = "";
    });
    paper.text.addEventListener("input", () => {
      paper.note.textContent = "";
    });
    addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dragging");
    });
    addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) document.body.classList.remove("dragging");
    });
    addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dragging");
      const { files } = event.dataTransfer;
      if (files.length) takeFile(files[0]);
      else if (event.dataTransfer.getData("text")) take(event.dataTransfer.getData("text"), "Dropped as text.");
    });
    addEventListener("paste", (event) => {
      if (event.target instanceof Element && event.target.closest("input, textarea")) return;
      const { files } = event.clipboardData;
      const content = event.clipboardData.getData("text");
      if (files.length) takeFile(files[0]);
      else if (content) take(content, "Pasted.");
    });

    // /verify#<payment id>, which the code on a printed receipt leads to.
    async function takeAddress() {
      const named = location.hash.slice(1);
      if (!named) return;
      clear(view);
      const id = /^0x[0-9a-f]{64}$/i.exec(named);
      try {
        if (!id) throw new Error("After the # of this address stands no payment id: 0x and 64 hex digits.");
        if (!IS_SERVED) throw new Error("This page was opened from disk, so there is no node to ask for that receipt. Open its file instead.");
        const { content, expected } = await fetchDocument(`/api/v1/payments/${id[0].toLowerCase()}/receipt`);
        await take(content, `As this node gives it for payment ${id[0]}.`, expected);
      } catch (error) {
        showProblem(view, error);
      }
    }

    addEventListener("hashchange", takeAddress);
    takeAddress();
  }

  // --- what came out

  function clear({ outcome }) {
    outcome.replaceChildren();
  }

  function showProblem({ outcome }, error) {
    const isOurs = !(error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError);
    const words = isOurs ? `Nothing was verified: ${error.message}` : `This page has a mistake, and verified nothing: ${error.message}`;
    outcome.replaceChildren(make("div", { class: "notice trouble" }, make("p", {}, make("strong", {}, "✕ "), words)));
    tallystick.say(words);
    if (!isOurs) console.error(error);
  }

  function showReport(view, report, options) {
    const [tone, words] = VERDICTS[report.verdict];
    const notice = make(
      "div",
      { class: `notice ${tone}`, "data-verdict": report.verdict },
      make("p", {}, make("strong", {}, words), ` · ${report.summary}`),
      ...describeGround(report, options, view.given).map((line) => make("p", { class: "detail" }, ...shorten(line))),
    );
    const { heading } = view;
    const parts = [notice];
    if (report.subject.length) parts.push(make(heading, {}, "What the document says"), makePairs(report.subject));
    parts.push(make(heading, {}, "Step by step"), make("ol", { class: "checks" }, ...report.steps.map((step) => makeStep(step, report))));
    view.outcome.replaceChildren(...parts);
    tallystick.enhance(view.outcome);
    tallystick.say(`${words.slice(2)}. ${report.summary}`);
  }

  // On whose word it stands, and what is left for the reader to compare.
  function describeGround({ settlement, l1, trouble, isPinned }, options, given) {
    const lines = [];
    if (l1) {
      const when = `L1 block ${l1.block} (${l1.time})`;
      lines.push(`As ${l1.name} says of ${when}, chain ${l1.chainId}, contract ${settlement}`);
    }
    if (trouble) lines.push(`Ethereum was not asked: ${trouble}.`);
    const isFromNode = isPinned && given.settlement.toLowerCase() === options.settlement.toLowerCase();
    const whose = isPinned ? isFromNode && "the node that this page came from" : "the document itself";
    if (settlement && whose) lines.push(`Compare the contract’s address with the one that you know: ${whose} named ${settlement}`);
    return lines;
  }

  function makePairs(pairs) {
    return make(
      "dl",
      { class: "pairs" },
      ...pairs.map(([name, value]) =>
        make("div", {}, make("dt", {}, name), make("dd", {}, ...(WORDS.includes(name) ? [makeWords(value)] : shorten(value)))),
      ),
    );
  }

  // What others wrote: apart from the text around it, and with marks that have no form of their own made visible, as
  // the node's pages do.
  function makeWords(text) {
    const visible = text.replace(FORMLESS, (sign) => `⟨U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
    return make("bdi", { class: "words" }, visible);
  }

  function makeStep({ name, title, outcome, detail, computed, expected, path }, { verdict }) {
    const [kind, holds] = MARKS[outcome];
    const words = name === "finality" && outcome === "ok" && verdict !== "failed" ? verdict : holds;
    const step = make(
      "li",
      { class: kind, "data-step": name },
      make("div", {}, make("b", {}, title), " ", make("span", { class: "mark" }, words)),
      make("div", { class: "evidence" }, ...shorten(detail)),
    );
    const lines = [];
    if (computed) lines.push(["Computed", computed]);
    if (expected) lines.push(["Stated", expected]);
    (path || []).slice(0, -1).forEach((node, height) => lines.push([height ? `Node ${height} levels up` : "Leaf", node]));
    if (lines.length) {
      const pairs = lines.map(([label, value]) => make("div", {}, make("dt", {}, label), make("dd", {}, make("code", { class: "whole" }, value))));
      const open = outcome === "failed";
      step.append(make("details", { open }, make("summary", {}, "Bytes"), make("dl", { class: "pairs" }, ...pairs)));
    }
    return step;
  }

  function setUpAll(root) {
    root.querySelectorAll("section.verify").forEach(setUp);
  }

  if (!IS_SERVED) {
    document.documentElement.classList.add("saved");
    document.querySelectorAll(".brand").forEach((brand) => brand.removeAttribute("href"));
  }
  tallystick.enhancers.push(setUpAll);
  setUpAll(document);
})();
