// The text that a cell has written. Images, HTML and tracebacks are left out.
import type { IDisplayData, IError, IOutput, IStream, MultilineString } from '@jupyterlab/nbformat';

const MAX_CHARS = 2000; // starcoder-ls reads the first 1,000

export function outputText(outputs: IOutput[]): string {
  let text = '';
  for (const output of outputs) {
    if (text.length > MAX_CHARS) {
      break;
    }
    const part = textOf(output);
    text += part && text && !text.endsWith('\n') ? `\n${part}` : part;
  }
  return text.slice(0, MAX_CHARS);
}

function textOf(output: IOutput): string {
  switch (output.output_type) {
    case 'stream': return joined((output as IStream).text);
    case 'execute_result': case 'display_data': return joined((output as IDisplayData).data['text/plain'] as MultilineString | undefined);
    case 'error': return `${(output as IError).ename}: ${(output as IError).evalue}`;
    default: return '';
  }
}

function joined(text: MultilineString | undefined): string {
  return (typeof text === 'string' ? text : (text ?? []).join('')).slice(0, MAX_CHARS);
}
