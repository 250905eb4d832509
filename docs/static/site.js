// What scrolls sideways can be reached by keyboard.
addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".highlight pre, .table-wrapper")) {
    if (box.scrollWidth <= box.clientWidth) continue;
    box.tabIndex = 0;
    if (box.matches(".table-wrapper")) {
      box.role = "region";
      box.ariaLabel = "Table";
    }
  }
});
