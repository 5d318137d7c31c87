// Shows panels as Grafana does: applies transformations, units, mappings, thresholds and overrides to results of queries.
//
// Reads JSON from standard input: a list of panels with `panel` (its JSON) and `results` (for each refId, a list of series with
// `labels` and `value`). Writes for each panel a list of fields with `name`, `text` and `color`.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

// The library expects a browser.
globalThis.navigator = { language: 'en-US', languages: ['en-US'] };
const require = createRequire(process.argv[2]);
const grafana = require('@grafana/data');
const { firstValueFrom } = require('rxjs');
// Not before: one of its dependencies takes the existence of this for a whole browser.
globalThis.window = globalThis;

// Grafana registers these at its start.
const transformations = new Map(Object.values(grafana.standardTransformers).map((one) => [one.id, one]));
grafana.standardTransformersRegistry.setInit(() =>
  [...transformations.values()].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: async () => transformation,
    editor: () => null,
  }))
);
const standard = ['unit', 'mappings', 'thresholds', 'color', 'noValue', 'links', 'min', 'max', 'decimals', 'displayName'];
const custom = ['lineStyle', 'fillOpacity', 'cellOptions'];
const property = (id, path, isCustom) => ({
  id, path, name: id, isCustom, settings: {}, process: (value) => value, shouldApply: () => true, override: () => null, editor: () => null,
});
const registry = new grafana.FieldConfigOptionsRegistry(() => [
  ...standard.map((id) => property(id, id, false)),
  ...custom.map((id) => property(`custom.${id}`, id, true)),
]);
const units = new Set(grafana.getValueFormats().flatMap((category) => category.submenu.map((format) => format.value)));

// The frames in which Grafana's data source for Prometheus returns a result.
function frames({ refId, format, legendFormat }, series) {
  const field = (name, type, values, more = {}) => ({ name, type, values, config: {}, ...more });
  if (format === 'table') {
    const labels = [...new Set(series.flatMap((one) => Object.keys(one.labels)))].sort();
    return [
      grafana.toDataFrame({
        refId,
        fields: [
          field('Time', 'time', series.map(() => 0)),
          ...labels.map((label) => field(label, 'string', series.map((one) => one.labels[label] ?? ''))),
          field(`Value #${refId}`, 'number', series.map((one) => one.value)),
        ],
      }),
    ];
  }
  const named = (labels) => (legendFormat ?? '').replace(/{{\s*(.+?)\s*}}/g, (_, label) => labels[label] ?? '');
  return series.map(({ labels, value }) =>
    grafana.toDataFrame({
      refId,
      fields: [
        field('Time', 'time', [0]),
        field('Value', 'number', [value], { labels, config: { displayNameFromDS: named(labels) || undefined } }),
      ],
    })
  );
}

async function shown({ panel, results }) {
  const unknown = JSON.stringify(panel).match(/"unit":"[^"]*"/g)?.map((unit) => unit.slice(8, -1)).filter((unit) => !units.has(unit));
  if (unknown?.length) {
    throw new Error(`${panel.title}: unknown units ${unknown}`);
  }
  const made = panel.targets.flatMap((target) => frames(target, results[target.refId] ?? []));
  const transformed = await firstValueFrom(
    grafana.transformDataFrame(panel.transformations ?? [], made, { interpolate: (text) => text })
  );
  const data = grafana.applyFieldOverrides({
    data: transformed,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: registry,
    replaceVariables: (text) => text,
    theme: grafana.createTheme(),
    timeZone: 'utc',
  });
  return data.flatMap((frame) =>
    frame.fields
      .filter((field) => field.type !== 'time')
      .map((field) => {
        const values = field.values.map((value) => field.display(value));
        return {
          name: grafana.getFieldDisplayName(field, frame, data),
          text: values.map((value) => grafana.formattedValueToString(value)),
          color: values.map((value) => value.color ?? ''),
        };
      })
  );
}

const panels = JSON.parse(readFileSync(0, 'utf8'));
const all = [];
for (const panel of panels) {
  all.push(await shown(panel));
}
process.stdout.write(JSON.stringify(all));
