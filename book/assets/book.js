// Paper is white and cannot be unfolded: before a page is printed it becomes light and everything folded is opened,
// afterwards all is as it was. (A listener on the medium also hears a preview, and Safari, which sends no other event.)
(() => {
  const page = document.documentElement;
  let theme = null, opened = [];
  matchMedia("print").addEventListener("change", event => {
    if (event.matches && theme === null) {
      theme = page.dataset.theme;
      page.dataset.theme = "light";
      opened = [...document.querySelectorAll("details:not([open])")];
    } else if (!event.matches && theme !== null) {
      page.dataset.theme = theme;
      theme = null;
    }
    for (const one of opened) one.open = event.matches;
  });
})();

// On the page that searches, the field that is seen has the focus: the theme would give it to one that is hidden.
document.querySelector(".bd-search-container form.bd-search input")?.focus();
