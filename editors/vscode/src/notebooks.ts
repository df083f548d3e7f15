// Notebooks: adds the text that cells have written to what the language client sends, since LSP has no outputs.
// The server reads `metadata.outputs` in the form of the notebook file format (docs/protocol.md).
import * as vscode from 'vscode';
import { NotebookDocumentMiddleware } from 'vscode-languageclient/node';

const MAX_OUTPUT_BYTES = 4096; // the server reads 1,000 characters
const TEXT_TYPES = ['text/plain', 'application/vnd.code.notebook.stdout', 'application/vnd.code.notebook.stderr'];

export const notebookMiddleware: NonNullable<NotebookDocumentMiddleware['notebooks']> = {
  didOpen: (notebook, cells, next) => next(notebook, cells.map(withOutputs)),
  didChange: (event, next) => {
    const { cells } = event;
    if (!cells) {
      return next(event);
    }
    const { structure, data } = cells;
    const array = structure && { ...structure.array, cells: structure.array.cells?.map(withOutputs) };
    return next({
      ...event,
      cells: { ...cells, structure: structure && array && { ...structure, array }, data: data?.map(withOutputs) },
    });
  },
};

/** The cell with its outputs in its metadata, if it has any. */
function withOutputs(cell: vscode.NotebookCell): vscode.NotebookCell {
  const outputs = cell.outputs.flatMap(({ items }) => {
    const item = items.find(({ mime }) => TEXT_TYPES.includes(mime));
    return item ? [{ output_type: 'stream', text: new TextDecoder().decode(item.data.slice(0, MAX_OUTPUT_BYTES)) }] : [];
  });
  if (outputs.length === 0) {
    return cell;
  }
  // The properties of a cell are getters, which a spread would not copy.
  const { index, notebook, kind, document, executionSummary } = cell;
  return { index, notebook, kind, document, outputs: cell.outputs, executionSummary, metadata: { ...cell.metadata, outputs } };
}
