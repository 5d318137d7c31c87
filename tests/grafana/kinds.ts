// The types of dashboards and panels, made of those that Grafana publishes.
//
// Grafana's types are those of a running panel. A file may omit what has a default, and has the values of enums as text.

import type { AnnotationQuery, Dashboard as AnyDashboard, DataSourceRef, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type * as bars from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as states from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as lines from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type InFile<T> =
  T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer Item)[] ? InFile<Item>[]
  : T extends object ? { [Key in keyof T]?: InFile<T[Key]> }
  : T;

// Grafana publishes no types of queries to Prometheus.
interface Target {
  refId: string;
  expr: string;
  datasource: DataSourceRef;
  editorMode: 'code' | 'builder';
  legendFormat?: string;
  format?: 'time_series' | 'table' | 'heatmap';
  range?: boolean;
  instant?: boolean;
}

// Grafana replaces the value null of the first step by minus infinity.
type Step = { color: string; value: number | null };
type Defaults = Omit<NonNullable<InFile<Panel['fieldConfig']>>['defaults'] & {}, 'custom' | 'thresholds'>;
type Fields<Custom> = Omit<NonNullable<InFile<Panel['fieldConfig']>>, 'defaults'> & {
  defaults: Defaults & { custom?: InFile<Custom>; thresholds?: { mode: 'absolute' | 'percentage'; steps: Step[] } };
};
type Kind<Name extends string, Options, Custom> =
  Omit<InFile<Panel>, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
    type: Name;
    title: string;
    options: InFile<Options>;
    fieldConfig: Fields<Custom>;
    targets: Target[];
  };

export type Timeseries = Kind<'timeseries', lines.Options, lines.FieldConfig>;
export type Stat = Kind<'stat', stat.Options, {}>;
export type Statetimeline = Kind<'state-timeline', states.Options, states.FieldConfig>;
export type Heatmap = Kind<'heatmap', heatmap.Options, heatmap.FieldConfig>;
export type Table = Kind<'table', table.Options, table.FieldConfig>;
export type Bargauge = Kind<'bargauge', bars.Options, {}>;
export type Text = Omit<InFile<Panel>, 'options'> & { type: 'text'; options: InFile<text.Options> };
export type Row = InFile<RowPanel>;

// Members of the data source Prometheus, which Grafana's types lack.
type Annotation = InFile<AnnotationQuery> & {
  expr: string;
  step?: string;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
  useValueForTime?: boolean;
};
type Variable = Omit<InFile<VariableModel>, 'query' | 'current'> & {
  query: string | { query: string; refId: string };
  current: { selected?: boolean; text?: string[]; value?: string[] };
  definition?: string;
};
export type Dashboard = Omit<InFile<AnyDashboard>, 'panels' | 'annotations' | 'templating' | 'id'> & {
  id: null;
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};
