// Sorts the table of classes by the column whose title is pressed; the page reads well without it.
(function () {
  const table = document.getElementById("class-table");
  const heads = Array.from(table.tHead.rows[0].cells);
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value || cell.textContent.trim();
    return text === "" || text === "\u2013" ? null : isNaN(text) ? text.toLowerCase() : Number(text);
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = Array.from(table.tBodies[0].rows);
      rows.sort((first, second) => {
        const a = value(first, column), b = value(second, column);
        // Classes without a score stay at the end either way.
        if (a === null || b === null) return (a === null) - (b === null);
        return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
      });
      rows.forEach((row) => table.tBodies[0].appendChild(row));
    });
  });
})();
