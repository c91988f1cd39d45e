import { LineChart } from 'echarts/charts';
import { GridComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';

export interface Curve {
  readonly title: string;
  /** What grows. */
  readonly axis: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const WIDTH = 420;
const HEIGHT = 280;
const PER_ROW = 2;

use([LineChart, GridComponent, TitleComponent, SVGRenderer]);

/** The curves side by side as an SVG; what grows is on a logarithmic axis. */
export function plot(curves: readonly Curve[]): string {
  const rows = Math.ceil(curves.length / PER_ROW);
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH * PER_ROW, height: HEIGHT * rows });
  const place = (index: number) => ({
    left: (index % PER_ROW) * WIDTH + 60,
    top: Math.floor(index / PER_ROW) * HEIGHT + 50,
  });
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: curves.map(({ title }, index) => ({
      text: title,
      left: place(index).left,
      top: place(index).top - 40,
      textStyle: { fontSize: 14 },
    })),
    grid: curves.map((_, index) => ({ ...place(index), width: WIDTH - 100, height: HEIGHT - 110 })),
    xAxis: curves.map(({ axis }, gridIndex) => ({
      type: 'log' as const,
      gridIndex,
      name: axis,
      nameLocation: 'middle' as const,
      nameGap: 26,
    })),
    yAxis: curves.map((_, gridIndex) => ({ type: 'value' as const, gridIndex, min: 0 })),
    series: curves.map(({ points }, index) => ({
      type: 'line' as const,
      xAxisIndex: index,
      yAxisIndex: index,
      data: points.map((point) => [...point]),
      symbolSize: 8,
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
