"""How does Prefect see it? The only room that imports Prefect."""
