import pytest
from my_program import main

from common.sandbox import Sandbox


def test_a_revoked_token_is_replaced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox("revoked") as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        main()
    assert capsys.readouterr().out == "5000 records from 0\n4462 records from 5000\n"
    ends = [line.rpartition(", ")[2] for line in sandbox.requests]
    assert ends == ["token 1", "token 1 -> 200", "token 1 -> 401", "token 2", "token 2 -> 200"]
