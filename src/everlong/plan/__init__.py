"""What a training or a session will cost, before it is begun: operations, bytes and time.

setup = Setup(architecture="gru", model=GRUConfig(), training=TrainConfig(), length=100_000)
predictor = Predictor(setup)
print(predictor.forecast(setup).epoch_seconds)
"""

from everlong.plan.case import Resident, Setup, resident
from everlong.plan.predictor import Forecast, Predictor

__all__ = ["Forecast", "Predictor", "Resident", "Setup", "resident"]
