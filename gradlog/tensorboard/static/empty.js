/** What stands where no run has anything of gradlog's. */

import {element} from './dom.js';

const EXAMPLE = ['import gradlog', '', 'model.fit(x, y, callbacks=[gradlog.GradientLogger("logs/first")])'].join('\n');

/** The help. */
export function emptyState() {
  return element(
    'div',
    {class: 'empty'},
    element('h1', {text: 'No gradients here yet'}),
    element('p', {text: 'No run in this log directory was written by gradlog. One line added to a training does it:'}),
    element('pre', {}, element('code', {text: EXAMPLE})),
    element('p', {text: 'Then start TensorBoard on the directory above the runs:'}),
    element('pre', {}, element('code', {text: 'tensorboard --logdir logs'})),
    element('p', {text: 'To look at the tab first, write a few small runs:'}),
    element('pre', {}, element('code', {text: 'python -m gradlog.tensorboard.demo logs/demo'})),
    element('p', {text: 'What is written while TensorBoard runs appears here by itself.'}),
  );
}
