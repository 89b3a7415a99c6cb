// Builds the page from its data. Texts of the data become text nodes only.
const page = JSON.parse(document.getElementById("data").textContent);
const plotted = [];
let failed = 0;

function sqlOf(sql) {
  const box = element("details", "sql");
  box.append(element("summary", "", "SQL"));
  const copy = element("button", "", "copy");
  copy.type = "button";
  copy.addEventListener("click", () => {
    const done = () => { copy.textContent = "copied"; };
    const area = element("textarea");
    area.value = sql;
    document.body.append(area);
    area.select();
    // The clipboard of a page that was opened as a file may be closed to it.
    if (document.execCommand("copy")) done();
    area.remove();
  });
  box.append(copy, element("pre", "", sql));
  return box;
}

function tableOf(section) {
  const box = element("div", "rows");
  const table = element("table");
  const head = element("tr");
  const body = element("tbody");
  // A bar is drawn behind the parts of a whole.
  const part = (value) => value === null || (typeof value === "number" && value >= 0 && value <= 1);
  const bar = section.columns.map((column, at) => column.unit === "share" && section.rows.every((row) => part(row[at])));
  const textual = section.columns.map((_, at) => section.rows.some((row) => typeof row[at] === "string"));
  const fill = (rows) => {
    body.replaceChildren(...rows.map((row) => {
      const line = element("tr");
      row.forEach((value, at) => {
        const unit = section.columns[at].unit;
        const cell = element("td", textual[at] ? "text" : "number", shown(value, unit));
        if (bar[at] && value !== null) {
          cell.style.setProperty("--share", value * 100 + "%");
          cell.classList.add("share");
        }
        line.append(cell);
      });
      return line;
    }));
  };
  let [order, down] = [-1, false];
  section.columns.forEach((column, at) => {
    const cell = element("th", textual[at] ? "text" : "number");
    const button = element("button", "", headed(column));
    button.type = "button";
    cell.title = column.meaning;
    cell.append(button);
    button.addEventListener("click", () => {
      [order, down] = [at, order === at ? !down : !textual[at]];
      const rank = (a, b) => (a[at] === b[at] ? 0 : a[at] === null ? 1 : b[at] === null ? -1 : (a[at] < b[at]) !== down ? -1 : 1);
      fill([...section.rows].sort(rank));
    });
    head.append(cell);
  });
  const top = element("thead");
  top.append(head);
  table.append(top, body);
  fill(section.rows);
  box.append(table);
  if (section.more) box.append(element("p", "soft", "There are more rows than these."));
  return box;
}

function sectionOf(section) {
  const several = section.plot.shape === "heat" && section.plot.by;
  const card = element("section", "card " + section.plot.shape + (several ? " wide" : ""));
  card.append(element("h3", "", section.title));
  if (section.case) card.append(element("p", "case", section.case));
  card.append(element("p", "soft", section.meaning));
  if (section.plot.shape === "table") {
    card.append(tableOf(section));
  } else {
    const canvas = element("div", "plot");
    card.append(canvas);
    plotted.push({ canvas, section, drawn: null });
    const data = element("details", "data");
    data.append(element("summary", "", "Data"));
    data.addEventListener("toggle", () => {
      if (data.open && data.children.length === 1) data.append(tableOf({ ...section, rows: section.rows.slice(0, 500) }));
    });
    card.append(data);
  }
  if (section.sql) card.append(sqlOf(section.sql));
  return card;
}

function findingOf(finding) {
  const card = element("section", "finding " + finding.severity);
  const head = element("h3");
  head.append(element("span", "severity", finding.severity), element("span", "", finding.title));
  card.append(head);
  if (finding.case) card.append(element("p", "case", finding.case));
  const list = element("ul");
  for (const evidence of finding.evidence) {
    const line = element("li");
    line.append(element("code", "", evidence.subject), element("span", "", ": " + evidence.numbers));
    if (evidence.cost_ns !== null) line.append(element("b", "", " (" + nanos(evidence.cost_ns) + ")"));
    list.append(line);
  }
  card.append(list, element("p", "", finding.advice));
  card.append(element("p", "soft", "Holds for: " + finding.meaning + " Source: " + finding.source + "."));
  card.append(sqlOf(finding.sql));
  return card;
}

function part(name, title, cards) {
  const box = element("div", "part");
  box.id = name;
  box.append(element("h2", "", title));
  const grid = element("div", "grid");
  grid.append(...cards);
  box.append(grid);
  const link = element("a", "", title);
  link.href = "#" + name;
  document.querySelector("nav").append(link);
  document.querySelector("main").append(box);
}

function drawAll() {
  failed = 0;
  for (const plot of plotted) {
    try {
      if (plot.drawn) plot.drawn.destroy();
      plot.drawn = draw(plot.canvas, plot.section);
    } catch (error) {
      failed += 1;
      plot.canvas.textContent = "This plot could not be drawn: " + error;
      console.error(plot.section.name, error);
    }
  }
  // For tests: how many plots there are, and how many could not be drawn.
  document.documentElement.dataset.plots = plotted.length;
  document.documentElement.dataset.failed = failed;
}

function build() {
  const [header, nav, main] = [element("header"), element("nav"), element("main")];
  const title = element("div");
  title.append(element("h1", "", page.title), element("p", "soft", "ioriot " + page.ioriot));
  const theme = element("button", "theme", "light / dark");
  theme.type = "button";
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    drawAll();
  });
  header.append(title, theme);
  document.body.append(header, nav, main);
  const list = element("ul", "datasets");
  for (const dataset of page.datasets) {
    const line = element("li");
    line.append(element("span", "kind", dataset.kind), element("code", "", dataset.name));
    list.append(line);
  }
  main.append(list);
  page.notes.forEach((note) => main.append(element("p", "note", note)));
  if (page.rules > 0) {
    const none = element("p", "soft", "None of " + page.rules + " rules found anything.");
    part("findings", "Findings", page.findings.length ? page.findings.map(findingOf) : [none]);
  }
  page.parts.forEach((one) => part(one.name, one.title, one.sections.map(sectionOf)));
  if (page.commands.length) part("again", "How to reproduce", [element("pre", "commands", page.commands.join("\n"))]);
  if (page.empty.length) main.append(element("p", "soft", "Nothing to show: " + page.empty.join(", ") + "."));
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
}

build();
