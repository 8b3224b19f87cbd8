// Keeps a page current: when the node says that something is new, the page is read again, and what differs is replaced.
//
// The page is the only source: nothing here knows what a payment is. Not more than one question at a time, none while
// nobody looks, and after a failure longer and longer waits.
"use strict";
(function () {
  var EVENTS = "/api/v1/events";
  var GAP_MS = 1500; // between two readings, unless the page has a `data-gap` of its own
  var FIRST_WAIT_MS = 1000;
  var LONGEST_WAIT_MS = 60000;
  var PATIENCE_MS = 15000;
  var TICK_MS = 1000;
  var FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";

  // What the server sent last for each part, before scripts changed anything in it.
  var parts = new Map();
  collect(document).forEach(function (element, name) {
    parts.set(name, fingerprint(element));
  });

  function collect(root) {
    var found = new Map();
    root.querySelectorAll("[data-live]").forEach(function (element) {
      found.set(element.dataset.live, element);
    });
    return found;
  }

  // Ages run on by themselves; copy buttons and what the reader opened are not the server's.
  function fingerprint(element) {
    var plain = element.cloneNode(true);
    plain.querySelectorAll("time[data-age]").forEach(function (time) {
      time.textContent = "";
    });
    plain.querySelectorAll(".copy").forEach(function (button) {
      button.remove();
    });
    plain.querySelectorAll("details").forEach(function (details) {
      details.removeAttribute("open");
    });
    [plain].concat(Array.from(plain.querySelectorAll(".fresh"))).forEach(function (row) {
      row.classList.remove("fresh");
      if (!row.classList.length) row.removeAttribute("class");
    });
    return plain.outerHTML;
  }

  // --- ages

  var ahead = 0; // of the server's clock before this machine's, milliseconds

  function readClock(root) {
    var time = Date.parse((root.getElementById("now") || {}).dateTime);
    if (!isNaN(time)) ahead = time - Date.now();
  }

  // As explorer.formatting.format_age does.
  function formatAge(time, now) {
    var seconds = Math.floor(Math.abs(now - time) / 1000);
    var spans = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    for (var place = 0; place < spans.length; place++) {
      if (seconds >= spans[place][0]) {
        var span = Math.floor(seconds / spans[place][0]) + " " + spans[place][1];
        return time > now ? "in " + span : span + " ago";
      }
    }
    return "now";
  }

  function showAges() {
    if (document.hidden) return;
    document.querySelectorAll("time[data-age]").forEach(function (element) {
      var time = Date.parse(element.dateTime);
      if (isNaN(time)) return;
      var words = formatAge(time, Date.now() + ahead);
      if (element.textContent !== words) element.textContent = words;
    });
  }

  readClock(document);
  setInterval(showAges, TICK_MS);
  document.addEventListener("visibilitychange", showAges);

  var main = document.getElementById("main");
  var follows = (main.dataset.follows || "").split(" ");
  var gapMs = Number(main.dataset.gap) || GAP_MS;
  if (!follows[0] || !document.querySelector("main [data-live]") || !window.EventSource) return;

  // --- reading the page again

  var isReading = false;
  var isStale = false;
  var lastStart = 0;
  var timer = 0;
  var waitMs = FIRST_WAIT_MS;

  function refresh(delayMs) {
    isStale = true;
    if (isReading || timer || document.hidden) return;
    timer = setTimeout(read, Math.max(delayMs || 0, lastStart + gapMs - Date.now()));
  }

  function read() {
    timer = 0;
    if (document.hidden) return; // read when somebody looks
    isReading = true;
    isStale = false;
    lastStart = Date.now();
    var signal = AbortSignal.timeout(PATIENCE_MS);
    fetch(location.href.split("#")[0], { cache: "no-cache", headers: { accept: "text/html" }, signal: signal })
      .then(function (answer) {
        if (!answer.ok) throw new Error("HTTP " + answer.status);
        return answer.text();
      })
      .then(
        function (text) {
          isReading = false;
          waitMs = FIRST_WAIT_MS;
          if (source && source.readyState === EventSource.OPEN) tell("Live", true);
          show(new DOMParser().parseFromString(text, "text/html"));
          if (isStale) refresh();
        },
        function () {
          isReading = false;
          tell("Not up to date, trying again", false);
          refresh(grow());
        },
      );
  }

  function grow() {
    var wait = waitMs * (0.75 + Math.random() / 2); // not all readers at once
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    return wait;
  }

  // --- replacing what differs

  function show(page) {
    readClock(page);
    var current = collect(document);
    if (!(page.getElementById("main") || main).dataset.follows) settle();
    collect(page).forEach(function (fresh, name) {
      var old = current.get(name);
      var print = fingerprint(fresh);
      if (!old || parts.get(name) === print) return;
      if (isBeingSelected(old)) {
        isHeld = true;
        return;
      }
      parts.set(name, print);
      replace(old, document.adoptNode(fresh));
    });
    showAges();
  }

  // The page is about something final now: nothing of the present belongs on it any more, and nothing more will come.
  function settle() {
    close();
    follows = [];
    document.querySelectorAll(".as-of, [data-live='banner']").forEach(function (element) {
      element.remove();
    });
  }

  // What is being selected is left in peace until it no longer is.
  var isHeld = false;
  document.addEventListener("selectionchange", function () {
    if (!isHeld || !getSelection().isCollapsed) return;
    isHeld = false;
    refresh();
  });

  function isBeingSelected(element) {
    var selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(element, true);
  }

  function replace(old, fresh) {
    var focus = describeFocus(old);
    var opened = keysOfOpen(old);
    var rows = new Map();
    old.querySelectorAll("[data-key]").forEach(function (row) {
      rows.set(row.dataset.key, row);
    });
    fresh.querySelectorAll("[data-key]").forEach(function (row) {
      if (!rows.has(row.dataset.key)) row.classList.add("fresh");
    });
    // What has scrolled sideways stays where it is.
    var scrolled = Array.from(old.querySelectorAll(".strip, .scroll")).map(function (element) {
      return element.scrollLeft;
    });
    tallystick.enhance(fresh);
    old.replaceWith(fresh);
    fresh.querySelectorAll(".strip, .scroll").forEach(function (element, place) {
      element.scrollLeft = scrolled[place] || 0;
    });
    fresh.querySelectorAll("details").forEach(function (details) {
      if (opened.has(keyOf(details, fresh, "details"))) details.open = true;
    });
    restoreFocus(fresh, focus);
  }

  // An element is known again by the row it is in and its place there, among those of its sort.
  function keyOf(element, root, sort) {
    if (element.id) return "#" + element.id;
    var row = element.closest("[data-key]");
    if (!row || !root.contains(row)) row = root;
    return (row.dataset.key || "") + " " + Array.from(row.querySelectorAll(sort)).indexOf(element);
  }

  function keysOfOpen(root) {
    var keys = new Set();
    root.querySelectorAll("details[open]").forEach(function (details) {
      keys.add(keyOf(details, root, "details"));
    });
    return keys;
  }

  function describeFocus(root) {
    var active = document.activeElement;
    return active && active !== root && root.contains(active) ? keyOf(active, root, FOCUSABLE) : null;
  }

  function restoreFocus(root, key) {
    if (key === null) return;
    var found = Array.from(root.querySelectorAll(FOCUSABLE)).find(function (element) {
      return keyOf(element, root, FOCUSABLE) === key;
    });
    if (found) found.focus({ preventScroll: true });
  }

  // --- events; none while nobody looks, since a browser opens few connections to one place

  var source = null;
  var retry = 0;
  var eventsWaitMs = FIRST_WAIT_MS;
  var pulse = document.getElementById("pulse");

  function listen() {
    clearTimeout(retry);
    if (source || document.hidden || !follows.length) return;
    source = new EventSource(EVENTS);
    source.addEventListener("open", function () {
      eventsWaitMs = FIRST_WAIT_MS;
      tell("Live", true);
    });
    // The first comes at once, so that nothing is missed between the page and its events.
    if (follows.includes("ledger")) source.addEventListener("ledger", onLedger);
    if (follows.includes("commitments")) {
      source.addEventListener("commitments", function () {
        refresh();
      });
    }
    source.addEventListener("error", function () {
      close();
      tell("Not live, trying again", false);
      retry = setTimeout(listen, eventsWaitMs * (0.75 + Math.random() / 2));
      eventsWaitMs = Math.min(2 * eventsWaitMs, LONGEST_WAIT_MS);
    });
  }

  // A page that says how far the ledger was when it was made (`data-head` of its clock) is not read again for that.
  function onLedger(event) {
    var head = JSON.parse(event.data);
    var clock = document.getElementById("now");
    var words = [head.height, head.mined, head.final].join(" ");
    if (!clock || clock.dataset.head !== words) refresh();
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  function tell(words, isOn) {
    if (!pulse || (pulse.textContent === words && !pulse.hidden)) return;
    pulse.hidden = false;
    pulse.textContent = words;
    pulse.classList.toggle("off", !isOn);
  }

  document.addEventListener("visibilitychange", function () {
    if (document.hidden) {
      clearTimeout(retry);
      clearTimeout(timer);
      timer = 0;
      close();
    } else {
      listen();
    }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", function (event) {
    if (event.persisted) listen();
  });
  listen();
})();
