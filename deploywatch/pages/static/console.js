"use strict";
// Everything works without this file: it adds local times and keys.
(() => {
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

  // The exact time is in each title; the local one is put beside it.
  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime()) && !time.dataset.local) {
        time.dataset.local = "1";
        time.title += ` · ${at.toLocaleString()} local`;
        const beside = time.nextElementSibling;
        if (kept("local") === "on" && beside?.matches(".utc")) {
          beside.textContent = `· ${at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })} local`;
        }
      }
    }
  };

  const rows = () => [...document.querySelectorAll("[data-row]")];
  const move = (step) => {
    const all = rows();
    const here = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[Math.max(0, Math.min(all.length - 1, here + step))];
    next?.querySelector("a[href]")?.focus();
  };
  const press = (selector) => document.querySelector(selector)?.click();
  const help = () => {
    const dialog = document.getElementById("keys");
    if (dialog instanceof HTMLDialogElement) dialog.showModal();
  };
  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    a: () => press("[data-key=a]"),
    c: () => document.querySelector("[data-key=c]")?.focus(),
    "/": () => document.querySelector("[data-key='/']")?.focus(),
    "?": help,
  };
  document.addEventListener("keydown", (event) => {
    const typed = event.target instanceof Element && event.target.closest("input, textarea, select, dialog");
    if (typed || event.ctrlKey || event.metaKey || event.altKey || kept("keys") === "off") return;
    const act = KEYS[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // Each browser keeps how it wants keys and times; without a store they are as they come.
  for (const [name, usual] of [["keys", "on"], ["local", "off"]]) {
    const box = document.getElementById(`${name}-on`);
    if (!(box instanceof HTMLInputElement)) continue;
    box.checked = (kept(name) ?? usual) === "on";
    box.addEventListener("change", () => {
      try { localStorage.setItem(name, box.checked ? "on" : "off"); } catch { return; }
      if (name === "local") location.reload();
    });
  }
  for (const box of document.querySelectorAll("[data-every]")) {
    box.addEventListener("change", () => {
      for (const other of document.querySelectorAll(`input[name="${box.dataset.every}"]`)) other.checked = box.checked;
    });
  }

  // What is counted down goes on; at its end the page says 0:00 until it is loaded anew.
  const left = (until) => {
    const all = Math.max(0, Math.floor((Date.parse(until) - Date.now()) / 1000));
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60);
    return hours ? `${hours}:${two(minutes % 60)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
  };
  setInterval(() => {
    for (const element of document.querySelectorAll("[data-until]")) element.textContent = left(element.dataset.until);
  }, 1000);
  localTimes(document);
})();
