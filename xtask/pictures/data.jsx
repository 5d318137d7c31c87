// What Grafana makes of the results of a panel's queries before it draws the panel: frames, transformations, units, mappings,
// thresholds and overrides.

import {
  FieldConfigOptionsRegistry,
  applyFieldOverrides,
  standardTransformers,
  standardTransformersRegistry,
  toDataFrame,
  transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

// Grafana registers these at its start.
const transformations = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));
standardTransformersRegistry.setInit(() =>
  [...transformations.values()].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: async () => transformation,
    editor: () => null,
  }))
);
const standard = ['unit', 'mappings', 'thresholds', 'color', 'noValue', 'links', 'min', 'max', 'decimals', 'displayName'];
const custom = [
  'align', 'axisSoftMax', 'cellOptions', 'drawStyle', 'fillOpacity', 'filterable', 'lineStyle', 'lineWidth', 'minWidth',
  'scaleDistribution', 'showPoints', 'spanNulls', 'stacking', 'thresholdsStyle', 'width',
];
const property = (id, path, isCustom) => ({
  id, path, name: id, isCustom, settings: {}, process: (value) => value, shouldApply: () => true, override: () => null, editor: () => null,
});
const registry = new FieldConfigOptionsRegistry(() => [
  ...standard.map((id) => property(id, id, false)),
  ...custom.map((id) => property(`custom.${id}`, id, true)),
]);

const number = (text) => ({ '+Inf': Infinity, '-Inf': -Infinity })[text] ?? Number(text);

// The frames in which Grafana's data source for Prometheus returns a result: a vector or a matrix.
function frames({ refId, format, legendFormat }, series, { from_ms, to_ms, step_s }) {
  const field = (name, type, values, more = {}) => ({ name, type, values, config: {}, ...more });
  if (format === 'table') {
    const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
    return [
      toDataFrame({
        refId,
        fields: [
          field('Time', 'time', series.map((one) => one.value[0] * 1000)),
          ...labels.map((label) => field(label, 'string', series.map((one) => one.metric[label] ?? ''))),
          field(`Value #${refId}`, 'number', series.map((one) => number(one.value[1]))),
        ],
      }),
    ];
  }
  const named = (labels) => (legendFormat ?? '').replace(/{{\s*(.+?)\s*}}/g, (_, label) => labels[label] ?? '');
  // A value for each step, so that lines have gaps where Prometheus has none.
  const steps = Array.from({ length: Math.floor((to_ms - from_ms) / (step_s * 1000)) + 1 }, (_, step) => from_ms + step * step_s * 1000);
  return series.map(({ metric, value, values }) => {
    const times = values ? steps : [value[0] * 1000];
    const known = new Map((values ?? [value]).map(([time, value]) => [Math.round(time * 1000), number(value)]));
    return toDataFrame({
      refId,
      fields: [
        field('Time', 'time', times),
        field('Value', 'number', times.map((time) => known.get(Math.round(time)) ?? null), {
          labels: metric,
          config: { displayNameFromDS: named(metric) || undefined },
        }),
      ],
    });
  });
}

export async function shown({ panel, results }, { theme, timeZone, ...range }) {
  const made = (panel.targets ?? []).flatMap((target) => frames(target, results[target.refId] ?? [], range));
  const transformed = await firstValueFrom(
    transformDataFrame(panel.transformations ?? [], made, { interpolate: (text) => text })
  );
  return applyFieldOverrides({
    data: transformed,
    fieldConfig: panel.fieldConfig ?? { defaults: {}, overrides: [] },
    fieldConfigRegistry: registry,
    replaceVariables: (text) => text,
    theme,
    timeZone,
  });
}
