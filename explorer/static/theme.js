// Runs before anything is painted, so that a page never flashes in the other theme.
"use strict";
var tallystick = { enhancers: [] };
(function () {
  var KEY = "tallystick-theme";

  // Storage may be forbidden: then the choice holds for this page alone.
  tallystick.readTheme = function () {
    try {
      var theme = localStorage.getItem(KEY);
      return theme === "light" || theme === "dark" ? theme : "system";
    } catch (error) {
      return "system";
    }
  };

  tallystick.setTheme = function (theme) {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme);
    try {
      if (theme === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch (error) {
      // As above.
    }
  };

  var stored = tallystick.readTheme();
  if (stored !== "system") document.documentElement.setAttribute("data-theme", stored);
})();
