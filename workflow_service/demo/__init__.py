"""The demonstration: the sales pipeline run through the REST API, as a developer and an approver would."""
