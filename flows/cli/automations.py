"""`nightshift automations`: what the Prefect server should do by itself."""

from flows.cli.named_server import ApiOption, named_server
from flows.cli.output import AsJson, out, print_json
from nightshift.states import NightError


def automations_command(
    api: ApiOption = None,
    as_json: AsJson = False,
) -> None:
    """Install Nightshift's automations on a Prefect server: dead flow runs, and a message when bedtime says ACT."""
    url = named_server(api)
    # Imported here: Prefect takes a second to load, and reads its settings then.
    import httpx

    from flows.automations import install

    try:
        done = install()
    except httpx.HTTPError as error:
        raise NightError(f"{url}: no Prefect server answers: {error}") from error
    if as_json:
        print_json({"automations": [{"name": name, "state": state} for name, state in done]})
        return
    for name, state in done:
        out.print(f"{state}: {name}", highlight=False)
