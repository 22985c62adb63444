// Shows the runbooks that hold every word of the search; without it all are shown.
const field = document.querySelector("input");
const books = [...document.querySelectorAll("article")].map((book) => ({
  book,
  link: document.querySelector(`.list a[href="#${CSS.escape(book.id)}"]`),
  text: book.textContent.toLowerCase(),
}));
const status = document.querySelector("output");
const search = () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { book, link, text } of books) {
    const found = words.every((word) => text.includes(word));
    book.hidden = !found;
    if (link) link.parentElement.hidden = !found;
    shown += found;
  }
  status.textContent = words.length ? `${shown} of ${books.length}` : "";
};
field.form.hidden = false;
field.addEventListener("input", search);
field.form.addEventListener("submit", (event) => event.preventDefault());
// A link to a runbook that the search hides shows it.
addEventListener("hashchange", () => {
  const book = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (book && book.hidden) {
    field.value = "";
    search();
    book.scrollIntoView();
  }
});
