"use strict";
/* News by server-sent events. `progress` fills numbers in; `table` and `health` fetch the page again and exchange what
   differs. Without this file the page reloads itself, and every button still works. */

(() => {
  const link = document.getElementById("link");
  const names = ["stage", "frames", "rate", "left", "faces", "percent"];
  let source = null;
  let isFetching = false;
  let isStale = false;
  let hasLeft = false;

  const tell = (kind, text) => {
    link.className = "link-state " + kind;
    link.textContent = text;
  };

  function showProgress(jobs) {
    for (const job of jobs) {
      const card = document.querySelector(`[data-job="${Number(job.id)}"]`);
      if (!card) continue;
      for (const name of names) {
        const place = card.querySelector(`[data-p="${name}"]`);
        if (place && place.textContent !== job[name]) place.textContent = job[name];
      }
      const bar = card.querySelector("progress");
      if (job.value === null) bar.removeAttribute("value");
      else bar.value = job.value;
    }
  }

  const children = (node) => new Map([...node.children].filter((c) => c.dataset.key).map((c) => [c.dataset.key, c]));

  function keepOpen(old, fresh) {
    for (const details of old.querySelectorAll("details[open][data-key]")) {
      const twin = fresh.querySelector(`details[data-key="${CSS.escape(details.dataset.key)}"]`);
      if (twin) twin.open = true;
    }
  }

  /* Children are told apart by data-key; those that did not change stay the same nodes: no flicker, focus stays. */
  function exchange(old, fresh) {
    const before = children(old);
    const after = [...fresh.children].map((child) => {
      const known = before.get(child.dataset.key);
      if (!known) return child;
      if (known.served === child.outerHTML || known.outerHTML === child.outerHTML) return known;
      keepOpen(known, child);
      child.served = child.outerHTML;
      return child;
    });
    if (after.length === old.children.length && after.every((child, i) => child === old.children[i])) return;
    old.replaceChildren(...after);
  }

  const remember = () => {
    for (const child of document.querySelectorAll("[data-live] > [data-key]")) child.served ??= child.outerHTML;
  };

  const focusMark = () => {
    const form = document.activeElement?.closest("form[action]");
    return form ? form.getAttribute("action") : null;
  };

  async function refresh() {
    isStale = true;
    if (isFetching) return;
    isFetching = true;
    try {
      while (isStale && !hasLeft) {
        isStale = false;
        const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
        if (answer.redirected) return location.reload();
        if (!answer.ok) return tell("lost", "The server has no such page any more.");
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const focused = focusMark();
        for (const old of document.querySelectorAll("[data-live]")) {
          const fresh = page.getElementById(old.id);
          if (fresh) exchange(old, document.adoptNode(fresh));
        }
        if (focused && !focusMark()) document.querySelector(`form[action="${CSS.escape(focused)}"] button`)?.focus();
        remember();
        showTimes();
      }
    } catch {
      tell("lost", "No connection; trying again.");
    } finally {
      isFetching = false;
    }
  }

  function showTimes() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const secs = Math.max(0, (now - Date.parse(time.dateTime)) / 1000);
      if (secs >= 86400) continue;
      const text =
        secs < 10 ? "just now" : secs < 60 ? `${Math.floor(secs / 10) * 10} s ago`
        : secs < 3600 ? `${Math.floor(secs / 60)} min ago` : `${Math.floor(secs / 3600)} h ago`;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function connect() {
    if (source || document.hidden) return;
    source = new EventSource("/events");
    source.addEventListener("hello", () => { tell("live", "Live"); refresh(); });
    source.addEventListener("table", refresh);
    source.addEventListener("progress", (event) => showProgress(JSON.parse(event.data)));
    source.onerror = () => {
      tell("lost", "No connection; trying again.");
      if (source.readyState === EventSource.CLOSED) {  // the browser gave up: refused, or a proxy's error page
        source = null;
        setTimeout(connect, 5000);
      }
    };
  }

  function disconnect() {
    source?.close();
    source = null;
  }

  /* One place for the slider: where the pictures meet. Side by side without this. */
  function compare() {
    const box = document.querySelector("[data-compare]");
    if (!box) return;
    const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, value: 50 });
    slider.setAttribute("aria-label", "Where before and after meet");
    slider.addEventListener("input", () => box.style.setProperty("--cut", slider.value + "%"));
    const picture = box.querySelector("img");
    const fit = () => {
      if (picture.naturalHeight) box.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
    };
    picture.addEventListener("load", fit);
    fit();
    box.append(slider);
    box.classList.add("slide");
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", () => { hasLeft = true; disconnect(); });
  addEventListener("pageshow", (event) => { if (event.persisted) { hasLeft = false; connect(); } });
  remember();
  showTimes();
  setInterval(showTimes, 10000);
  compare();
  connect();
})();
