// A button beside every shortened or whole value that copies all of it.
"use strict";
(function () {
  var SHOWN_MS = 1500;
  if (!navigator.clipboard) return; // neither on HTTPS nor on this machine

  function addButtons(root) {
    root.querySelectorAll(".short, .whole").forEach(function (value) {
      var next = value.nextElementSibling;
      if (next && next.classList.contains("copy")) return;
      var button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.title = "Copy";
      button.setAttribute("aria-label", "Copy " + value.textContent.slice(0, 10) + "…");
      button.addEventListener("click", function () {
        copy(value.textContent, button);
      });
      value.after(button);
    });
  }

  function copy(text, button) {
    navigator.clipboard.writeText(text).then(
      function () {
        tell(button, "copied", "Copied");
      },
      function () {
        tell(button, "failed", "The browser did not let the page copy");
      },
    );
  }

  function tell(button, state, words) {
    tallystick.say(words);
    button.dataset.state = state;
    button.title = words;
    setTimeout(function () {
      delete button.dataset.state;
      button.title = "Copy";
    }, SHOWN_MS);
  }

  tallystick.enhancers.push(addButtons);
  addButtons(document);
})();
