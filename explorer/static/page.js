// What every page does once it is there: the theme's switch, the key that goes to the search, words for screen readers.
"use strict";
(function () {
  var theme = document.getElementById("theme");
  if (theme) {
    theme.value = tallystick.readTheme();
    theme.parentElement.hidden = false;
    theme.addEventListener("change", function () {
      tallystick.setTheme(theme.value);
    });
    // Changed in another tab.
    addEventListener("storage", function () {
      theme.value = tallystick.readTheme();
      tallystick.setTheme(theme.value);
    });
  }

  var search = document.getElementById("q");
  document.addEventListener("keydown", function (event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    var at = event.target;
    if (!search || (at instanceof Element && at.closest("input, textarea, select, [contenteditable]"))) return;
    event.preventDefault();
    search.focus();
    search.select();
  });

  var status = document.createElement("p");
  status.className = "sr";
  status.setAttribute("role", "status");
  document.body.append(status);

  // Tells readers who do not see the page.
  tallystick.say = function (words) {
    status.textContent = "";
    // A change that comes at once with the emptying is not heard.
    setTimeout(function () {
      status.textContent = words;
    }, 50);
  };

  // Gives an element that has just come into the page what scripts add to it.
  tallystick.enhance = function (root) {
    tallystick.enhancers.forEach(function (enhancer) {
      enhancer(root);
    });
  };
})();
