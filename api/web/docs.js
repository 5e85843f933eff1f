"use strict";
window.addEventListener("load", () => {
  window.SwaggerUIBundle({ url: "/schema", dom_id: "#swagger", deepLinking: true, validatorUrl: null });
});
