from concurrent.futures import ThreadPoolExecutor

from common.answers import ApiError
from common.config import load_settings
from oauthlib_api_sample_client import SecureAccessAPI

settings = load_settings()
api = SecureAccessAPI(settings.token_url, settings.api_key, settings.api_secret, settings.reports_url)
end_points = [f"top-destinations?from=-{days}days&to=now&limit=3&offset=0" for days in (1, 7, 30)]
try:
    with ThreadPoolExecutor(max_workers=3) as pool:  # the threads share one token
        for end_point, report in zip(end_points, pool.map(api.Query, end_points)):
            print(end_point, [row["domain"] for row in report["data"]])
except ApiError as error:
    raise SystemExit(str(error)) from error
