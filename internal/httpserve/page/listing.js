const input = document.querySelector("input");
const rows = [...document.querySelectorAll("tbody tr")];
const none = document.querySelector("p");
input.hidden = rows.length < 2;
input.addEventListener("input", () => {
  const words = input.value.toLowerCase().split(/\s+/);
  let shown = 0;
  for (const row of rows) {
    const name = row.cells[0].textContent.toLowerCase();
    row.hidden = !words.every(word => name.includes(word));
    if (!row.hidden) shown++;
  }
  none.hidden = shown > 0;
});
