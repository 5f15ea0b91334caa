import time

from common.answers import ApiError
from common.config import load_settings
from requests_api_sample_client import callSecureAccessApi, secureAccessAPI

settings = load_settings()
api = secureAccessAPI(settings.token_url, settings.api_key, settings.api_secret, settings.reports_url)
now = int(time.time() * 1000)  # a fixed period, in milliseconds, so that the pages fit together
try:
    for offset in range(0, 10_000, 5_000):
        end_point = f"activity?from={now - 86_400_000}&to={now}&limit=5000&offset={offset}"
        page = callSecureAccessApi(api, end_point)["data"]
        print(len(page), "records from", offset)
        if len(page) < 5_000:
            break
except ApiError as error:
    raise SystemExit(str(error)) from error
