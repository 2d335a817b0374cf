// Keys, buttons and swipes; everything else is a page that scrolls. Without this script the slides still do.
const root = document.documentElement, slides = [...document.querySelectorAll("section")];

function remembered() {
  try {
    return localStorage.getItem("theme"); // the book's own choice, where the browser lets a file see it
  } catch {
    return null;
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
root.dataset.theme = ["light", "dark"].includes(remembered()) ? remembered() : dark;

/** The slide that covers the middle of the window. */
const here = () => slides.findIndex(one => one.getBoundingClientRect().bottom > innerHeight / 2);

function show(number) {
  const slide = slides[Math.max(0, Math.min(slides.length - 1, number))];
  location.replace("#" + slide.id); // so that a reload, and a link, lead to the same slide
  slide.focus({ preventScroll: true });
}

const keys = {
  ArrowRight: () => show(here() + 1),
  ArrowLeft: () => show(here() - 1),
  Home: () => show(0),
  End: () => show(slides.length - 1),
  t: () => (root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"),
  n: () => {
    const at = here();
    root.toggleAttribute("data-notes");
    show(at);
  },
  f: () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()),
};
Object.assign(keys, { PageDown: keys.ArrowRight, PageUp: keys.ArrowLeft, " ": keys.ArrowRight });
if (innerWidth > 700) Object.assign(keys, { ArrowDown: keys.ArrowRight, ArrowUp: keys.ArrowLeft });

addEventListener("keydown", event => {
  const busy = event.key === " " && event.target.closest("button, a");
  if (!keys[event.key] || busy || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  keys[event.key]();
});

const bar = document.querySelector("nav");
bar.hidden = false;
bar.addEventListener("click", event => keys[event.target.closest("[data-key]")?.dataset.key]?.());

let start = null;
addEventListener("touchstart", event => (start = event.touches.length === 1 ? event.touches[0] : null));
addEventListener("touchend", event => {
  if (!start) return;
  const across = event.changedTouches[0].clientX - start.clientX;
  const down = event.changedTouches[0].clientY - start.clientY;
  if (Math.abs(across) > 60 && Math.abs(across) > 2 * Math.abs(down)) show(here() + (across < 0 ? 1 : -1));
});
