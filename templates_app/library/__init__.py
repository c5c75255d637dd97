"""Ready templates that come with the service: ``templates/`` holds them, ``catalog.py`` reads them."""
