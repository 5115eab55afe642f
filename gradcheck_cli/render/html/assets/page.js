"use strict";
(() => {
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const made = (tag, text = "", parent = null) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  root.classList.add("scripted");

  // ------------------------------------------------------------------------------------------------------- theme
  const theme = one("#theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const themed = [];
  const toldTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Show the page in ${isDark() ? "light" : "dark"} colours`);
    themed.forEach((redraw) => redraw());
  };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    toldTheme();
  });
  prefersDark.addEventListener("change", toldTheme);

  // --------------------------------------------------------------------------------------------------------- tip
  const tip = one("#tip");
  const showTip = (x, y) => {
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = x + 18 + width > root.clientWidth ? x - 18 - width : x + 18;
    tip.style.left = `${Math.max(8, Math.min(left, root.clientWidth - width - 8)) + scrollX}px`;
    const top = y - height - 14 < 60 ? y + 18 : y - height - 14;
    tip.style.top = `${top + scrollY}px`;
  };
  const hideTip = () => { tip.hidden = true; };

  // ------------------------------------------------------------------------------------------------------- table
  const table = one("#layer-table");
  const rows = table ? all("tbody tr", table) : [];
  const heads = table ? all("thead th", table) : [];
  const shown = one("#shown");
  const asNumber = (text) => {
    const share = /^(\d+)\/(\d+)/.exec(text);
    if (share) return Number(share[1]) / Math.max(1, Number(share[2]));
    if (/^-?inf$/.test(text)) return text[0] === "-" ? -Infinity : Infinity;
    return Number.parseFloat(text);
  };
  const keyOf = (row, column) => {
    const text = row.cells[column].textContent;
    if (column === 1) return text.toLowerCase();
    if (column === 2) return ["dead", "exploding", "vanishing", "healthy", "not-measured"].indexOf(row.dataset.verdict) * 2 + !text.includes("culprit");
    return asNumber(text);
  };
  const sort = (column) => {
    const down = heads[column].getAttribute("aria-sort") === "ascending";
    const keyed = rows.map((row, place) => ({ row, place, key: keyOf(row, column) }));
    const unknown = ({ key }) => Number.isNaN(key);
    keyed.sort((a, b) => {
      if (unknown(a) || unknown(b)) return unknown(a) - unknown(b) || a.place - b.place;
      const order = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
      return (down ? -order : order) || a.place - b.place;
    });
    heads.forEach((head, at) => (at === column ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    // One move for all rows, so that the page is laid out once.
    one("tbody", table).append(...keyed.map(({ row }) => row));
  };
  const meanings = new Map(all(".glossary dt").map((term) => [term.textContent, term.nextElementSibling.textContent]));
  heads.forEach((head) => { head.title = meanings.get(head.textContent) ?? ""; });
  heads.forEach((head, column) => one("button", head)?.addEventListener("click", () => sort(column)));

  const find = one("#find");
  const pressed = all(".filter button");
  const filter = () => {
    const wanted = find.value.trim().toLowerCase();
    const held = pressed.filter((button) => button.getAttribute("aria-pressed") === "true");
    const verdicts = held.map((button) => button.dataset.verdict).filter(Boolean);
    const changes = held.map((button) => button.dataset.change).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const text = wanted && `${row.cells[1].textContent} ${row.cells[row.cells.length - 1].textContent}`.toLowerCase();
      const stays = (!verdicts.length || verdicts.includes(row.dataset.verdict)) && (!changes.length || changes.includes(row.dataset.change)) && (!wanted || text.includes(wanted));
      row.hidden = !stays;
      left += stays;
    }
    shown.textContent = left === rows.length ? `${left.toLocaleString("en")} layers` : `${left.toLocaleString("en")} of ${rows.length.toLocaleString("en")} layers`;
    one("#none-left").hidden = left > 0;
  };
  const pressAlone = (verdict) => {
    pressed.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict)));
    filter();
  };
  find?.addEventListener("input", filter);
  pressed.forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    filter();
  }));
  all(".counts a").forEach((link) => link.addEventListener("click", () => pressAlone(link.dataset.verdict)));

  // A link to a row or to a manual shows what it leads to, filtered out or folded.
  const arrive = () => {
    const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    if (!target) return;
    if (target.hidden) {
      find.value = "";
      pressAlone(null);
    }
    const folded = target.matches("details") ? target : one("details", target);
    if (folded && target.matches("tr, details")) folded.open = true;
    if (target.matches("tr, details")) target.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", arrive);
  addEventListener("load", arrive);

  // -------------------------------------------------------------------------------------------------------- flow
  const plot = one("#flow-plot");
  const flow = () => {
    const total = Number(plot.dataset.layers);
    const cross = one("#flow-cross");
    const cursor = one("#flow-cursor");
    const inOrder = rows.slice();
    const spots = new Map();
    all("use", plot).forEach((mark) => spots.set(mark.getAttribute("x"), mark.getAttribute("y")));
    all(".dots", plot).forEach((path) => {
      for (const [, x, y] of path.getAttribute("d").matchAll(/M([\d.]+) ([\d.]+)h0/g)) spots.set(Number(x) - 0.5, y);
    });
    let at = -1;
    const percent = (place) => `${Number((((place + 0.5) / total) * 100).toFixed(3))}%`;
    const tell = (row) => {
      tip.replaceChildren();
      made("b", one("code", row).textContent, tip);
      made("span", `${one("th i", row).textContent} · ${row.cells[2].textContent}`, tip);
      const list = made("dl", "", tip);
      heads.forEach((head, column) => {
        const value = row.cells[column]?.textContent;
        if (column > 2 && column < heads.length - 1 && value) {
          made("dt", head.textContent, list);
          made("dd", value, list);
        }
      });
      const why = one("summary", row)?.textContent;
      if (why) made("p", why.length > 160 ? `${why.slice(0, 160)}…` : why, tip);
    };
    const choose = (place) => {
      at = Math.max(0, Math.min(total - 1, place));
      const row = inOrder[at];
      const x = percent(at);
      const y = spots.get(x) ?? spots.get(at);
      cross.setAttribute("x1", x);
      cross.setAttribute("x2", x);
      cursor.setAttribute("cx", y === undefined ? "-99" : x);
      cursor.setAttribute("cy", y ?? "0");
      const value = row.cells[3].textContent;
      plot.setAttribute("aria-valuenow", String(at + 1));
      plot.setAttribute("aria-valuetext", `${one("code", row).textContent}, ${one("th i", row).textContent}, ${row.cells[2].textContent}, T ${value || "not measured"}. ${one("summary", row)?.textContent ?? ""}`);
      tell(row);
      const box = plot.getBoundingClientRect();
      showTip(box.left + ((at + 0.5) / total) * box.width, box.top + Number(y ?? box.height / 2));
    };
    const leave = () => {
      hideTip();
      for (const end of ["x1", "x2"]) cross.setAttribute(end, "-9");
      cursor.setAttribute("cx", "-99");
    };
    const go = () => {
      if (at < 0) return;
      const row = inOrder[at];
      leave();
      if (location.hash === `#${row.id}`) arrive();
      else location.hash = row.id;
    };
    const placeOf = (event) => {
      const box = plot.getBoundingClientRect();
      return Math.floor(((event.clientX - box.left) / box.width) * total);
    };
    plot.setAttribute("role", "slider");
    plot.setAttribute("tabindex", "0");
    plot.setAttribute("aria-valuemin", "1");
    plot.setAttribute("aria-valuemax", String(total));
    plot.setAttribute("aria-valuenow", "1");
    plot.setAttribute("aria-roledescription", "layer by layer; arrow keys move, Enter goes to its row");
    plot.addEventListener("pointermove", (event) => choose(placeOf(event)));
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("click", (event) => { choose(placeOf(event)); go(); });
    plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) choose(at < 0 ? 0 : at); });
    plot.addEventListener("blur", leave);
    plot.addEventListener("keydown", (event) => {
      const far = Math.max(1, Math.round(total / 20));
      const places = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageUp: at + far, PageDown: at - far, Home: 0, End: total - 1 };
      if (event.key in places) { choose(places[event.key]); event.preventDefault(); }
      else if (event.key === "Enter") go();
      else if (event.key === "Escape") leave();
    });
    if (total > 80) {
      const tools = made("div");
      tools.className = "flow-tools";
      const spread = made("button", "Spread out", tools);
      spread.type = "button";
      spread.setAttribute("aria-pressed", "false");
      spread.addEventListener("click", () => {
        const wide = plot.style.width === "";
        plot.style.width = wide ? `${Math.max(total * 12, plot.clientWidth)}px` : "";
        spread.setAttribute("aria-pressed", String(wide));
        spread.textContent = wide ? "Fit to the page" : "Spread out";
      });
      one("#flow-figure").prepend(tools);
    }
  };
  if (plot && rows.length) flow();

  // -------------------------------------------------------------------------------------------------------- copy
  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = made("textarea", text, document.body);
      area.className = "hidden";
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  all(".copy").forEach((button) => button.addEventListener("click", async () => {
    const code = document.getElementById(button.dataset.copies);
    const done = await copied(code.textContent);
    const label = button.firstChild;
    label.data = done ? "Copied" : "Selected";
    if (!done) getSelection().selectAllChildren(code);
    setTimeout(() => { label.data = "Copy"; }, 1600);
    button.focus();
  }));

  // ------------------------------------------------------------------------------------------------------ curves
  const figures = (value) => (value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 1e4) ? String(Number(value.toPrecision(4))) : value.toExponential(1).replace(".0e", "e"));
  const curves = (holder) => {
    const told = JSON.parse(one("script.curves", holder).textContent);
    const canvas = one(".canvas", holder);
    const valueOf = (place) => (place === null || !told.log ? place : 10 ** place);
    told.y = told.y.map((places) => places.map(valueOf));
    const [zero, infinite] = [told.zero, told.infinite].map(valueOf);
    const read = (value) => (value === zero ? "0" : value === infinite ? "∞" : figures(value));
    const labels = new Map(told.ticks);
    let chart = null;
    let widths = [];
    const draw = () => {
      const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
      const ill = ["dead", "exploding", "vanishing"];
      // A point without neighbours is on no line.
      const alone = (_, series) => {
        const values = told.y[series - 1];
        const there = (place) => values[place] !== null && values[place] !== undefined;
        return values.flatMap((value, place) => (there(place) && !there(place - 1) && !there(place + 1) ? [place] : []));
      };
      const series = told.styles.map((style, place) => {
        const [kind, ...more] = style.split(" ");
        const strong = kind === "main" || more.includes("first");
        return {
          label: told.names[place],
          stroke: kind === "main" ? colour("accent") : ill.includes(kind) ? `${colour(kind)}${strong ? "" : "a0"}` : colour("rest"),
          width: strong ? 2.4 : ill.includes(kind) ? 1.2 : 1,
          points: { show: true, filter: alone, size: 5, fill: colour(kind === "main" ? "accent" : ill.includes(kind) ? kind : "rest") },
        };
      });
      widths = series.map(({ width }) => width);
      const axis = { stroke: colour("muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
      const grid = { stroke: colour("line"), width: 1 };
      const options = {
        width: canvas.clientWidth,
        height: 232,
        legend: { show: false },
        padding: [10, 8, 0, 0],
        scales: { x: { time: false }, y: { distr: told.log ? 3 : 1, range: told.range } },
        axes: [
          { ...axis, grid: { show: false }, size: 24, space: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] },
          { ...axis, grid, size: 54, splits: () => [...labels.keys()], values: (_, values) => values.map((value) => labels.get(value) ?? ""), filter: (_, values) => values },
        ],
        series: [{}, ...series],
        cursor: { y: false, focus: { prox: 24 }, points: { show: false }, drag: { x: true, y: false } },
        focus: { alpha: 0.35 },
        hooks: { setCursor: [tell] },
      };
      chart?.destroy();
      canvas.classList.add("live");
      chart = new uPlot(options, [told.x, ...told.y], canvas);
      canvas.chart = chart;
    };
    const tell = (self) => {
      const { idx, left, top } = self.cursor;
      let nearest = -1;
      let best = 40;
      if (idx !== null && idx !== undefined && left >= 0) {
        told.y.forEach((values, place) => {
          const value = values[idx];
          if (value === null || value === undefined) return;
          const far = Math.abs(self.valToPos(value, "y") - top) - widths[place];
          if (far < best) { best = far; nearest = place; }
        });
      }
      if (nearest < 0) { hideTip(); return; }
      tip.replaceChildren();
      made("b", told.names[nearest], tip);
      made("span", `${told.of} ${told.x[idx]}: ${read(told.y[nearest][idx])}`, tip);
      const box = self.over.getBoundingClientRect();
      showTip(box.left + self.valToPos(told.x[idx], "x"), box.top + self.valToPos(told.y[nearest][idx], "y"));
    };
    draw();
    themed.push(draw);
    canvas.addEventListener("pointerleave", hideTip);
    new ResizeObserver(() => {
      if (canvas.clientWidth && chart.width !== canvas.clientWidth) chart.setSize({ width: canvas.clientWidth, height: 232 });
    }).observe(canvas);
  };
  if (typeof uPlot !== "undefined") all("figure.chart").forEach(curves);
  toldTheme();

  // ------------------------------------------------------------------------------------------------------- print
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])").filter((each) => !each.closest("tr[data-verdict=healthy]"));
    folded.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));
})();
