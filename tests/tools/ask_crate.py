"""Ask a crate questions as a stranger would: as RDF, by the IRIs of the terms; run by the interpreter of `.venv-crate`.

Usage: ask_crate.py FOLDER. Prints one JSON object: for each competency question of Workflow Run RO-Crate
(https://www.researchobject.org/workflow-run-crate/requirements, asked of another producer in nf-prov issue 51) the rows
of its answer, sorted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import rdflib
import rocrate

PREFIXES = """
PREFIX s: <http://schema.org/>
PREFIX b: <https://bioschemas.org/>
PREFIX p: <https://bioschemas.org/ComputationalWorkflow#>
PREFIX c: <https://codemeta.github.io/terms/>
PREFIX r: <https://w3id.org/ro/terms/workflow-run#>
PREFIX d: <http://purl.org/dc/terms/>
"""
RUN = "?root s:mainEntity ?workflow ; s:mentions ?run . ?run a s:CreateAction ; s:instrument ?workflow ."
TASK = "?task a s:CreateAction ; s:instrument ?tool ; s:name ?name . ?tool a s:SoftwareApplication ."
QUESTIONS = {
    "CQ1 images of the run": f"""SELECT ?registry ?image ?digest {{
        {RUN} ?workflow d:conformsTo ?profile . ?run r:containerImage ?i .
        FILTER(STRSTARTS(STR(?profile), "https://bioschemas.org/profiles/ComputationalWorkflow/"))
        ?i a r:ContainerImage ; s:additionalType ?type ; s:name ?image ; r:registry ?registry ; r:sha256 ?digest }}""",
    "CQ1 images of tasks": f"SELECT ?name ?digest {{ {TASK} ?task r:containerImage/r:sha256 ?digest }}",
    "CQ2 resources": f"""SELECT ?name ?what ?unit ?value {{ {TASK} ?task r:resourceUsage ?u .
        ?u a s:PropertyValue ; s:propertyID ?what ; s:unitCode ?unit ; s:value ?value }}""",
    "CQ3 configuration": "SELECT ?f { ?engine a s:OrganizeAction ; s:actionOption ?f . ?f a s:MediaObject }",
    "CQ4 environments": """SELECT ?name ?file ?format { ?workflow a s:HowTo, b:ComputationalWorkflow ; s:step ?step .
        ?step a s:HowToStep ; s:name ?name ; c:buildInstructions ?f .
        ?f a s:MediaObject ; s:name ?file ; s:encodingFormat ?format }""",
    "CQ5 time of tasks": f"SELECT ?name ?begun ?ended {{ {TASK} ?task s:startTime ?begun ; s:endTime ?ended }}",
    "CQ6 time of the run": f"SELECT ?begun ?ended {{ {RUN} ?run s:startTime ?begun ; s:endTime ?ended }}",
    "CQ7 success": f"SELECT ?name ?status {{ {TASK} ?task s:actionStatus ?status }}",
    "CQ8 inputs": f"SELECT ?name {{ {RUN} ?run s:object ?o . ?o s:name ?name }}",
    "CQ8 outputs": f"SELECT ?name {{ {RUN} ?run s:result ?o . ?o s:name ?name }}",
    "CQ9 versions": "SELECT ?name ?version { ?a a s:SoftwareApplication ; s:name ?name ; s:version ?version }",
    "CQ10 what a step wraps": """SELECT ?name ?main ?version { ?task a s:CreateAction ; s:instrument ?tool .
        ?tool a s:SoftwareApplication ; s:name ?name ; s:softwareRequirements ?main ; s:mainEntity ?main .
        ?main s:version ?version }""",
    "CQ11 where inputs go": """SELECT ?input ?tool ?parameter { ?root s:mainEntity ?workflow . ?workflow p:input ?from .
        ?from a b:FormalParameter ; s:name ?input . ?step s:workExample ?t ; r:connection ?c .
        ?c a r:ParameterConnection ; r:sourceParameter ?from ; r:targetParameter ?to .
        ?t s:name ?tool ; p:input ?to . ?to s:name ?parameter }""",
    "between steps": """SELECT ?giver ?out ?taker ?in { ?c a r:ParameterConnection ; r:sourceParameter ?from ;
        r:targetParameter ?to . ?g p:output ?from ; a s:SoftwareApplication ; s:name ?giver . ?from s:name ?out .
        ?t p:input ?to ; a s:SoftwareApplication ; s:name ?taker . ?to s:name ?in }""",
    "commands": f"""SELECT ?name ?command {{ {TASK} ?task s:additionalProperty ?f .
        ?f s:name "command" ; s:value ?command }}""",
    "who and by which rule": f"""SELECT ?who ?rule {{ {RUN} ?run s:agent/s:name ?who ; s:additionalProperty ?f .
        ?f s:name "routing rule" ; s:value ?rule }}""",
    "instrument": """SELECT ?run ?machine ?cell ?sample ?file { ?a a s:Action ; s:identifier ?run ; s:result ?f ;
        s:instrument/s:name ?machine ; s:object ?o ; s:additionalProperty ?p . ?p s:name "flow cell" ; s:value ?cell .
        ?o a b:Sample ; s:name ?sample . ?f s:name ?file }""",
}


def main() -> None:
    """Read the crate with the context that the `rocrate` wheel ships, and ask."""
    told = json.loads((Path(sys.argv[1]) / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    shipped = json.loads((Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_text(encoding="utf-8"))
    stated = told["@context"] if isinstance(told["@context"], list) else [told["@context"]]
    told["@context"] = [shipped["@context"] if isinstance(each, str) else each for each in stated]
    graph = rdflib.Graph()
    graph.parse(data=json.dumps(told), format="json-ld", base="https://crate.example/")
    answers = {
        question: sorted([str(value) for value in row] for row in graph.query(PREFIXES + query))
        for question, query in QUESTIONS.items()
    }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
