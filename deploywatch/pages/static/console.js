"use strict";
// Everything works without this file: it adds local times and keys, and renews what has changed.
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
  document.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || !target.dataset.all) return;
    for (const other of document.querySelectorAll(`input[name="${target.dataset.all}"]`)) other.checked = target.checked;
  });

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

  // Parts that are marked with data-live are put in place of the old, unless they hold the focus, a selection, or what was typed.
  const policy = globalThis.trustedTypes?.createPolicy("deploywatch", { createHTML: (text) => text }) ?? { createHTML: (text) => text };
  const typed = (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked;
  const chosen = (field) => [...field.options].some((option) => option.selected !== option.defaultSelected);
  const holds = (part) => {
    const focused = document.activeElement, selection = document.getSelection();
    return (focused !== document.body && part.contains(focused)) || (!selection.isCollapsed && selection.containsNode(part, true)) ||
      [...part.querySelectorAll("input:not([type=hidden]), textarea")].some(typed) || [...part.querySelectorAll("select")].some(chosen);
  };
  // How long ago something was is no change of it: these texts are renewed wherever they stand.
  const PASSING = "time, .utc, [data-until]";
  const mark = (part) => {
    const copy = part.cloneNode(true);
    for (const text of copy.querySelectorAll(PASSING)) { text.textContent = ""; text.removeAttribute("title"); text.removeAttribute("data-local"); }
    for (const fold of copy.querySelectorAll("details")) fold.removeAttribute("open");
    return copy.outerHTML;
  };
  const pass = (old, fresh) => {
    const texts = [...fresh.querySelectorAll(PASSING)];
    for (const [position, text] of [...old.querySelectorAll(PASSING)].entries()) {
      text.textContent = texts[position].textContent;
      if (text.title) { text.title = texts[position].title; delete text.dataset.local; }
    }
  };
  let held = 0;
  const replace = (old, fresh) => {
    if (mark(old) === mark(fresh)) return pass(old, fresh);
    const lists = [old, fresh].every((list) => list.matches("ul") && [...list.children].every((item) => item.id));
    if (lists) return replaceItems(old, fresh);
    if (holds(old)) { held += 1; return; }
    const made = document.importNode(fresh, true);
    for (const open of old.querySelectorAll("details[open][id]")) made.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    old.replaceWith(made);
  };
  const replaceItems = (old, fresh) => {
    const kept = new Set([...fresh.children].map((item) => item.id));
    for (const item of [...old.children]) if (!kept.has(item.id)) { if (holds(item)) held += 1; else item.remove(); }
    for (const [position, item] of [...fresh.children].entries()) {
      const mine = [...old.children].find((other) => other.id === item.id);
      if (mine) replace(mine, item);
      const now = mine ? [...old.children].find((other) => other.id === item.id) : document.importNode(item, true);
      if (old.children[position] !== now && !(mine && holds(now))) old.insertBefore(now, old.children[position] ?? null);
    }
  };

  // One tab of a browser holds the stream and tells the others; whoever hears nothing takes it over.
  const live = (line) => {
    const STALE = 35000, channel = new BroadcastChannel(`deploywatch ${line.dataset.stream}`), me = Math.random();
    const every = Number(line.dataset.every) * 1000, sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });
    const utc = (at) => `${new Date(at).toISOString().slice(11, 19)} UTC`;
    let fresh = Date.now(), told = 0, shown = line.dataset.change, renewed = fresh, after = 0, why = "", stream = null;
    let renewing = false, again = false;

    const say = () => {
      const stale = Date.now() - fresh > STALE;
      document.documentElement.classList.toggle("stale", stale);
      const text = stale ? `NOT LIVE since ${utc(fresh)}${why && `: ${why}`}` :
        held ? "Live; what you work in has changed, and is renewed when you leave it" : "Live";
      if (line.textContent !== text) line.textContent = text;
      if (stream && Date.now() - stream.heard > STALE) stream.abort?.();
      if (!stream && Date.now() - told > 15000 + 3000 * me) lead();
    };
    const renew = async () => {
      if (renewing) return;
      renewing = true;
      again = false;
      await sleep(Math.max(250 * Math.random(), after - Date.now()));
      const began = Date.now();
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(30000) });
        if (!answer.ok) throw new Error(answer.status === 401 ? "you are signed out; load the page anew" : `the page is answered with ${answer.status}`);
        const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
        const next = page.getElementById("live");
        if (!next) throw new Error("this page is not there any more");
        held = 0;
        for (const part of document.querySelectorAll("[data-live]")) {
          const now = page.getElementById(part.id);
          if (now) replace(part, now);
        }
        document.title = page.title;
        const icon = 'link[rel="icon"]';
        document.querySelector(icon).href = page.querySelector(icon).getAttribute("href");
        [shown, fresh, renewed, why] = [next.dataset.change, began, began, ""];
        localTimes(document);
      } catch (error) { why = error.message; }
      // A server that is slow is asked less often.
      after = Date.now() + Math.min(30000, Math.max(1000, 10 * (Date.now() - began)));
      renewing = false;
      if (again) renew();
      say();
    };
    const hear = ({ change, trouble }) => {
      if (trouble) { why = trouble; return; }
      if (change === shown && !renewing) { fresh = Date.now(); why = ""; }
      if (change !== shown) again = true;
      if (change !== shown || Date.now() - renewed > every) renew();
      say();
    };
    const lead = async () => {
      const leading = stream = {};
      while (stream === leading) {
        const once = new AbortController();
        Object.assign(leading, { heard: Date.now(), abort: () => once.abort() });
        try {
          const answer = await fetch(line.dataset.stream, { headers: { Accept: "text/event-stream" }, signal: once.signal });
          if (!answer.ok) throw new Error(answer.status === 401 ? "you are signed out; load the page anew" : (await answer.text()).trim());
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          for (let text = "", read; stream === leading && !(read = await reader.read()).done;) {
            const messages = (text + read.value).split("\n\n");
            text = messages.pop();
            for (const [, data] of messages.map((message) => message.match(/^data: (.*)$/m)).filter(Boolean)) {
              Object.assign(leading, { heard: Date.now(), last: JSON.parse(data) });
              channel.postMessage({ ...leading.last, from: me });
              hear(leading.last);
            }
          }
          once.abort();
        } catch (error) { if (!once.signal.aborted) why = error.name === "TypeError" ? "the server does not answer" : error.message; }
        if (stream === leading) await sleep(2000 + 2000 * Math.random());
      }
    };
    const leave = () => { stream?.abort?.(); stream = null; };
    channel.addEventListener("message", ({ data }) => {
      if (data.ask) { if (stream) channel.postMessage({ ...stream.last, from: me }); return; }
      if (data.left) { told = 0; setTimeout(say, 1000 * me); return; }
      if (stream && data.from > me) return;
      if (stream) leave();
      told = Date.now();
      if (data.change || data.trouble) hear(data);
    });
    addEventListener("pagehide", () => { if (stream) { leave(); channel.postMessage({ left: true }); } });
    addEventListener("pageshow", ({ persisted }) => { if (persisted) renew(); });
    document.addEventListener("visibilitychange", say);
    document.addEventListener("focusout", () => { if (held) setTimeout(renew, 100); });
    channel.postMessage({ ask: true });
    // What the page itself needs is loaded first.
    setTimeout(() => { setInterval(say, 1000); say(); }, 1000 + 500 * me);
    line.textContent = "Live";
  };
  const line = document.getElementById("live");
  if (line) live(line);
})();
