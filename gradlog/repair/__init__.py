"""Repair: tries changes to a training that does not learn, and proves the one that helps.

A model and its data come in; a `Repair` goes out: the changes, the changed model, and the proof. What each module does:

    repair      the public function and its result
    case        what is known before the first training
    search      which changes are tried, in which order
    judgement   which of two candidates is better, and when one is healed
    candidate   a training with changes, and what came of it
    budget      how many trainings and seconds may be spent
    trial       one training: its score on data held out, and what was found
    proof       original and change over several seeds
    training    how a network is trained: model, compilation, preparation of the data
    surgery     models with other layers
    task        what the network is to learn, and how well it does, whatever the loss is
    data        the rows to train with and those held out
    changes/    a file for each change
    report      the words and the table
"""
