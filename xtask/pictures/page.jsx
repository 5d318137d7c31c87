// The page of which `draw.mjs` takes a picture: one dashboard, drawn with the components of @grafana/ui. The dashboard and the
// results of its queries are in `window.picture`.
//
// Grafana's own code, which is not in this library, places the panels and passes the data to the components. Its counterpart
// here is short. @grafana/ui has no component for state timelines and heatmaps, so the panels of these kinds say so.

import { EventBusSrv, ThemeContext, createTheme, dateTime, getFieldDisplayValues, renderMarkdown } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { BigValue, GlobalStyles, PanelChrome, PanelContextProvider, Table, TimeSeries, VizRepeater } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import uplotStyles from 'uplot/dist/uPlot.min.css';

import { shown } from './data.jsx';

const CELL = 30;
const GAP = 8;
const HEADER = 48;
const MISSING = {
  en: (kind) => `Not drawn: @grafana/ui has no component for ${kind}. Grafana draws this panel.`,
  zh: (kind) => `未绘制：@grafana/ui 没有 ${kind} 组件。Grafana 会绘制此面板。`,
};

const { dashboard, language, panels, from_ms, to_ms, step_s, width } = window.picture;
const theme = createTheme({ colors: { mode: 'dark' } });
const timeZone = 'utc';
const bus = new EventBusSrv();
const range = { from: dateTime(from_ms), to: dateTime(to_ms), raw: dashboard.time };

const KINDS = {
  timeseries: ({ panel, data, width, height }) => (
    <TimeSeries
      frames={data} structureRev={1} width={width} height={height} legend={panel.options.legend} options={panel.options}
      timeRange={range} timeZone={timeZone}
    >
      {() => null}
    </TimeSeries>
  ),
  stat: ({ panel, data, width, height }) => (
    <VizRepeater
      source={data} renderCounter={0} width={width} height={height} itemSpacing={3} orientation={panel.options.orientation}
      getValues={() => values(panel, data)}
      renderValue={({ value, width, height, count }) => (
        <BigValue
          value={value.display} sparkline={value.sparkline} width={width} height={height} theme={theme} count={count}
          colorMode={panel.options.colorMode} graphMode={panel.options.graphMode} justifyMode={panel.options.justifyMode}
          textMode={panel.options.textMode}
        />
      )}
    />
  ),
  table: ({ data, width, height }) => <Table data={data[0]} width={width} height={height} />,
  text: ({ panel, height }) => (
    <div className="markdown-html" style={{ height, overflow: 'auto' }} dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />
  ),
};

function values(panel, data) {
  const all = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: (text) => text, theme, data,
    sparkline: panel.options.graphMode !== 'none', timeZone,
  });
  // With one value, the panel has its title.
  return all.length > 1 || panel.options.textMode === 'value_and_name'
    ? all
    : all.map((one) => ({ ...one, display: { ...one.display, title: '' } }));
}

function Content({ panel, data, width, height }) {
  const Kind = KINDS[panel.type];
  const note = (text) => <div style={{ color: theme.colors.text.secondary, padding: 8 }}>{text}</div>;
  if (!Kind) {
    return note(MISSING[language](panel.type));
  }
  const isEmpty = panel.type !== 'text' && !data.some((frame) => frame.length > 0);
  return isEmpty && panel.type !== 'stat'
    ? note(panel.fieldConfig.defaults.noValue)
    : <Kind panel={panel} data={data} width={width} height={height} />;
}

function Panel({ panel, data }) {
  const column = (width + GAP) / 24;
  const { x, y, w, h } = panel.gridPos;
  const size = { width: w * column - GAP, height: h * (CELL + GAP) - GAP };
  return (
    <div style={{ position: 'absolute', left: x * column, top: HEADER + y * (CELL + GAP), ...size }}>
      {panel.type === 'row'
        ? <div style={{ ...theme.typography.h5, padding: '4px 0' }}>{panel.title}</div>
        : (
          <PanelChrome title={panel.title} description={panel.description} padding={panel.type === 'table' ? 'none' : 'md'} {...size}>
            {(width, height) => <Content panel={panel} data={data} width={width} height={height} />}
          </PanelChrome>
        )}
    </div>
  );
}

function Dashboard({ data }) {
  const clock = (ms) => new Date(ms).toISOString().slice(11, 19);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <style>{uplotStyles}</style>
      <PanelContextProvider value={{ eventsScope: 'picture', eventBus: bus }}>
        <div style={{ position: 'relative', width, margin: '0 16px' }}>
          <div style={{ position: 'absolute', top: 10, display: 'flex', gap: 16, alignItems: 'baseline' }}>
            <span style={theme.typography.h4}>{dashboard.title}</span>
            <span style={{ color: theme.colors.text.secondary }}>{clock(from_ms)} – {clock(to_ms)} UTC</span>
          </div>
          {panels.map(({ panel }, index) => <Panel key={panel.id} panel={panel} data={data[index]} />)}
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>
  );
}

async function start() {
  await initPluginTranslations?.('grafana');
  const data = await Promise.all(panels.map((one) => shown(one, { theme, timeZone, from_ms, to_ms, step_s })));
  createRoot(document.getElementById('page')).render(<Dashboard data={data} />);
}

start();
