/** What the kinds of alerts are called. */
import { catalogue } from "./catalogue";

export const alerts = catalogue(
  {
    "alert_not-finite": "Not a number",
    "alert_loss-spike": "Loss spike",
    alert_plateau: "Plateau",
    alert_overfitting: "Overfitting",
    "alert_dead-layers": "Dead layers",
    "alert_starving-loader": "Waiting for data",
  },
  {
    "alert_not-finite": "不是数值",
    "alert_loss-spike": "损失突增",
    alert_plateau: "停滞",
    alert_overfitting: "过拟合",
    "alert_dead-layers": "失活的层",
    "alert_starving-loader": "等待数据",
  },
);
