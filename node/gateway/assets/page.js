// What a page of a link does beyond showing itself: copying, local times, saying what cannot be shown, and looking whether the files are
// counted.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

// By its name it can be shown, but this browser cannot: it is said instead of an empty frame.
for (const shown of document.querySelectorAll("img.show, video.show, audio.show")) {
  const failed = () => shown.replaceWith(Object.assign(document.createElement("p"), {
    className: "soft",
    textContent: "Your browser cannot show this file. Download it instead.",
  }));
  if (shown.error || (shown.complete && shown.naturalWidth === 0)) {
    failed();
  } else {
    shown.addEventListener("error", failed, { once: true });
  }
}

const counting = document.querySelector("[data-state]");
if (counting) {
  setTimeout(look, 700);
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = source.value ?? source.textContent;
  let copied = false;
  try {
    await navigator.clipboard.writeText(text.trim());
    copied = true;
  } catch {
    // Over plain HTTP there is no clipboard: ask the old way.
    copied = copyTheOldWay(text.trim());
  }
  if (!copied) {
    source.closest("details")?.setAttribute("open", "");
    source.select?.();
  }
  document.getElementById("said").textContent = copied ? "Copied" : "Select the text and copy it";
  const words = button.querySelector("span") ?? button;
  const label = button.dataset.label ?? (button.dataset.label = words.textContent);
  words.textContent = copied ? "Copied" : "Copy it by hand";
  setTimeout(() => { words.textContent = label; }, 2500);
}

function copyTheOldWay(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  let copied = false;
  try {
    copied = document.execCommand("copy");
  } catch {
    // Then it is shown and selected instead.
  }
  field.remove();
  return copied;
}

async function look() {
  try {
    const answer = await fetch(counting.dataset.from, { cache: "no-store" });
    if (!answer.ok) {
      location.reload();
      return;
    }
    const now = await answer.json();
    if (now.state !== counting.dataset.state) {
      location.reload();
      return;
    }
  } catch {
    // The network is away; it may come back.
  }
  setTimeout(look, 1500);
}
