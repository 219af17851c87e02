from __future__ import annotations

from pathlib import Path

import msgspec
import openapi_spec_validator
from typer.testing import CliRunner

from livethread_server.cli import cli


def test_each_document_can_be_printed_and_written(tmp_path: Path) -> None:
    for name, mark in (("openapi", "openapi"), ("asyncapi", "asyncapi"), ("schemas", "$defs")):
        printed = CliRunner().invoke(cli, ["spec", name])
        assert printed.exit_code == 0, printed.output
        assert mark in msgspec.json.decode(printed.output)
        written = CliRunner().invoke(cli, ["spec", name, "--output", str(tmp_path / name)])
        assert (written.exit_code, written.output) == (0, "")
        assert (tmp_path / name).read_text() == printed.output


def test_the_document_of_our_own_api_is_valid() -> None:
    openapi_spec_validator.validate(msgspec.json.decode(CliRunner().invoke(cli, ["spec", "openapi"]).output))


def test_an_unknown_document_is_refused_with_those_there_are() -> None:
    refused = CliRunner().invoke(cli, ["spec", "wsdl"])
    assert refused.exit_code == 2
    assert "asyncapi" in refused.output
