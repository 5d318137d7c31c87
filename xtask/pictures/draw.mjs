// Draws each dashboard as a picture: asks Prometheus the queries of its panels, as Grafana does, and opens `page.jsx` with the
// results in headless Chromium.
//
// Arguments: a JSON object with `libraries` (the directory with node_modules), `dashboards`, `pictures` (directories),
// `prometheus` (a URL), `end_s`, `seconds` (the time range), `height` (the maximum in pixels), `only` (names of dashboards such as
// `en/overview`; empty for all), `container` (a regular expression), `panels` (titles; empty for all) and `name` (of the files;
// null for those of the dashboards).

import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { mkdir, mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const WIDTH = 1600;
const MARGIN = 16;
const SCRAPE_S = 5;
// Grafana asks for at most one value per pixel of a panel. This many are enough.
const POINTS = 400;
// @grafana/ui has no component for these kinds of panels.
const UNDRAWN = { kinds: ['state-timeline', 'heatmap'], height: 3 };
const CHROMIUM = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--hide-scrollbars', '--virtual-time-budget=20000', '--enable-logging=stderr',
];

const given = JSON.parse(process.argv[2]);
const step_s = Math.max(SCRAPE_S, Math.ceil(given.seconds / POINTS));
const start_s = given.end_s - given.seconds;

async function ask(url) {
  const answer = await fetch(url).catch((error) => {
    throw new Error(`ask ${url}: ${error.cause ?? error}`);
  });
  const body = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (body.status !== 'success') {
    throw new Error(`ask ${url}: ${body.error}`);
  }
  return body.data;
}

// All hosts, GPUs and given containers are selected.
const filled = (query, jobs) =>
  query
    .replaceAll('$__rate_interval', `${Math.max(4 * SCRAPE_S, step_s + SCRAPE_S)}s`)
    .replaceAll('$__range', `${given.seconds}s`)
    .replaceAll('$job', jobs)
    .replaceAll('$container', given.container)
    .replace(/\$(instance|gpu)/g, '.+');

async function result(target, jobs) {
  const query = encodeURIComponent(filled(target.expr, jobs));
  const { result } = await ask(
    target.instant
      ? `${given.prometheus}/api/v1/query?query=${query}&time=${given.end_s}`
      : `${given.prometheus}/api/v1/query_range?query=${query}&start=${start_s}&end=${given.end_s}&step=${step_s}`
  );
  // Native histograms have no value, and only heatmaps show them.
  return result.filter((series) => series.value || series.values);
}

// Makes panels that the page does not draw smaller, if nothing is beside them.
function compact(panels) {
  for (const { type, gridPos } of panels) {
    const saved = gridPos.h - UNDRAWN.height;
    if (UNDRAWN.kinds.includes(type) && gridPos.w === 24) {
      panels.filter((other) => other.gridPos.y > gridPos.y).forEach((other) => (other.gridPos.y -= saved));
      gridPos.h = UNDRAWN.height;
    }
  }
}

// The panels with the given titles, two in a row.
function selected(panels) {
  return given.panels.map((title, index) => {
    // The summary at the top has panels with the same titles.
    const panel = panels.findLast((panel) => panel.title === title);
    if (!panel) {
      throw new Error(`no panel "${title}" in the dashboard`);
    }
    return { ...panel, gridPos: { x: 12 * (index % 2), y: 8 * Math.floor(index / 2), w: 12, h: 8 } };
  });
}

async function picture(language, name, jobs) {
  const dashboard = JSON.parse(await readFile(path.join(given.dashboards, language, `${name}.json`), 'utf8'));
  if (given.panels.length > 0) {
    dashboard.panels = selected(dashboard.panels);
  }
  compact(dashboard.panels);
  const panels = [];
  for (const panel of dashboard.panels) {
    const results = {};
    for (const target of panel.targets ?? []) {
      results[target.refId] = await result(target, jobs);
    }
    panels.push({ panel, results });
  }
  return { dashboard, language, panels, from_ms: start_s * 1000, to_ms: given.end_s * 1000, step_s, width: WIDTH - 2 * MARGIN };
}

async function bundle() {
  const require = createRequire(path.join(given.libraries, 'package.json'));
  const { build } = require('esbuild');
  // The CommonJS variant of Grafana's libraries: esbuild follows Node's rules for default imports in .mjs files, and then the
  // libraries get modules in the place of components.
  const commonjs = {
    name: 'commonjs',
    setup: (build) => build.onResolve({ filter: /^@grafana\// }, ({ path }) => ({ path: require.resolve(path) })),
  };
  const { outputFiles } = await build({
    entryPoints: [path.join(import.meta.dirname, 'page.jsx')], bundle: true, write: false, format: 'esm', jsx: 'automatic',
    minify: true, loader: { '.svg': 'dataurl', '.css': 'text' }, define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    plugins: [commonjs], nodePaths: [path.join(given.libraries, 'node_modules')], logLevel: 'error',
  });
  return outputFiles[0].text;
}

async function serve(script, pictures) {
  const icons = path.join(given.libraries, 'node_modules/@grafana/ui/dist/public/img/icons');
  const page = (data) => `<!doctype html><meta charset="utf-8"><title>${data.dashboard.title}</title><body><div id="page"></div>
<script>window.picture = ${JSON.stringify(data).replaceAll('<', '\\u003c')};</script><script type="module" src="/script.js"></script>`;
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://picture').pathname;
    const send = (type, body) => response.writeHead(200, { 'content-type': type }).end(body);
    const icon = url.match(/\/img\/icons\/([a-z]+\/[\w-]+\.svg)$/);
    if (url === '/script.js') {
      send('text/javascript', script);
    } else if (pictures.has(url.slice(1))) {
      send('text/html', page(pictures.get(url.slice(1))));
    } else if (icon) {
      const body = await readFile(path.join(icons, icon[1])).catch(() => null);
      body ? send('image/svg+xml', body) : response.writeHead(404).end();
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

async function photograph(url, file, height, profile) {
  const flags = [...CHROMIUM, `--user-data-dir=${profile}`, `--window-size=${WIDTH},${height}`, `--screenshot=${file}`];
  const { stderr } = await promisify(execFile)('chromium', [...flags, url], { timeout: 120_000, maxBuffer: 1 << 26 });
  const errors = stderr.split('\n').filter((line) => line.includes('CONSOLE') && line.includes('Uncaught'));
  if (errors.length > 0) {
    throw new Error(`draw ${file}: ${errors.join('\n')}`);
  }
  await stat(file);
}

async function main() {
  const jobs = (await ask(`${given.prometheus}/api/v1/label/job/values?match[]=glassbox_build_info`)).join('|');
  if (!jobs) {
    throw new Error(`${given.prometheus} has no series of glassbox: scrape an agent with it first`);
  }
  const pictures = new Map();
  for (const language of ['en', 'zh']) {
    const files = await readdir(path.join(given.dashboards, language));
    for (const file of files.filter((file) => file.endsWith('.json')).sort()) {
      const name = path.basename(file, '.json');
      if (given.only.length === 0 || given.only.includes(`${language}/${name}`)) {
        pictures.set(`${language}/${name}`, await picture(language, name, jobs));
      }
    }
  }
  const unknown = given.only.filter((name) => !pictures.has(name));
  if (unknown.length > 0) {
    throw new Error(`no dashboards ${unknown.join(', ')} in ${given.dashboards}`);
  }
  const server = await serve(await bundle(), pictures);
  const profile = await mkdtemp(path.join(tmpdir(), 'glassbox-pictures-'));
  try {
    await mkdir(given.pictures, { recursive: true });
    for (const [name, { dashboard }] of pictures) {
      const file = path.join(given.pictures, `${path.dirname(name)}-${given.name ?? path.basename(name)}.webp`);
      const rows = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
      // As in page.jsx.
      const height = Math.min(48 + rows * 38 + 8, given.height);
      await photograph(`http://127.0.0.1:${server.address().port}/${name}`, file, height, profile);
      console.log(file);
    }
  } finally {
    server.close();
    await rm(profile, { recursive: true, force: true });
  }
}

await main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
