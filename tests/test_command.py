"""What the commands of all experiments do where they cannot go on."""

import pytest

from experiments import command, data


def interrupted(log_dir, loaded):
    raise KeyboardInterrupt


def without_room(log_dir, loaded):
    raise OSError("no space left on device")


@pytest.mark.parametrize(
    ("run", "code", "message"),
    [
        (interrupted, 130, "Stopped. What was logged until then is in {log_dir}."),
        (without_room, 2, "error: no space left on device"),
    ],
)
def test_it_ends_in_one_line(run, code, message, tmp_path, capsys):
    digits = data.Digits(None, None, None, None, "digits")

    assert command.carry_out("name", str(tmp_path), lambda: digits, run, tables=None) == code

    printed = capsys.readouterr()
    assert printed.err == message.format(log_dir=tmp_path) + "\n"
    assert printed.out == ""
