/* Draws quantity against schedule; without this file the page shows a plain drawing of the same numbers. */
(() => {
  "use strict";

  const HEIGHT = 256;
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  let drawn = null;

  const two = (number) => String(number).padStart(2, "0");

  function clock(seconds) {
    const whole = Math.round(seconds);
    const rest = `${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
    return whole >= 3600 ? `${Math.floor(whole / 3600)}:${rest}` : rest;
  }

  function aligned(series) {
    return window.uPlot.join(series.filter((points) => points.length).map((points) => [points.map((row) => row[0]), points.map((row) => row[1])]));
  }

  function options(facts, width, hasPlan) {
    const { linear, stepped } = window.uPlot.paths;
    const faint = "#656d75";
    const axis = { stroke: faint, font: "12px system-ui, sans-serif", grid: { stroke: "#eceef0", width: 1 }, ticks: { stroke: "#c6cbd0", width: 1, size: 4 } };
    const series = [{}, { label: "filled", stroke: "#0b5a99", width: 2.5, paths: stepped({ align: 1 }), spanGaps: true, points: { show: false } }];
    if (hasPlan) series.push({ label: facts.plan_name, stroke: "#6b7178", width: 1.5, dash: [6, 5], paths: facts.is_step ? stepped({ align: 1 }) : linear(), spanGaps: true, points: { show: false } });
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false, range: [0, facts.span_seconds || 1] }, y: { range: [0, (facts.ordered || 1) * 1.04] } },
      axes: [
        { ...axis, space: 72, incrs: STEPS, values: (_, ticks) => ticks.map(clock) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en-US")) },
      ],
      series,
    };
  }

  function draw() {
    const holder = document.querySelector(".chart");
    const canvas = holder?.querySelector(".chart-canvas");
    if (!canvas || !window.uPlot) return;
    const text = holder.dataset.chart;
    const width = Math.max(240, Math.floor(holder.clientWidth));
    if (drawn && drawn.text === text && drawn.width === width && canvas.contains(drawn.plot.root)) {
      holder.classList.add("is-drawn");
      return;
    }
    const facts = JSON.parse(text);
    drawn?.plot.destroy();
    canvas.replaceChildren();
    const plot = new window.uPlot(options(facts, width, facts.planned.length > 0), aligned([facts.filled, facts.planned]), canvas);
    drawn = { plot, text, width };
    holder.classList.add("is-drawn");
  }

  document.addEventListener("htmx:after:swap", draw);
  window.addEventListener("resize", draw);
  draw();
})();
