%% SPDX-License-Identifier: Apache-2.0
%% @doc One `py_runtime' for each configured runtime and for each that the
%% launcher started.
-module(py_runtime_sup).
-behaviour(supervisor).

-export([start_link/0, start_runtime/2, stop_runtime/1, inherited/1]).
-export([init/1]).

%% handoff.h names this variable: "name=fd,name=fd".
-define(HANDOFF_ENV, "TERRARIUM_RUNTIMES").

%% @doc Start the runtimes.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @doc Start a further runtime with checked options; does not wait for its
%% zygote.
-spec start_runtime(atom(), terrarium_config:runtime()) -> ok | {error, term()}.
start_runtime(Name, Options) ->
    try supervisor:start_child(?MODULE, child(Name, Options)) of
        {error, Reason} -> {error, Reason};
        _ -> ok
    catch
        exit:_ -> {error, not_started}
    end.

%% @doc Stop a runtime, and with it all helpers that it still has; fine if there
%% is none.
-spec stop_runtime(atom()) -> ok.
stop_runtime(Name) ->
    try
        _ = supervisor:terminate_child(?MODULE, Name),
        _ = supervisor:delete_child(?MODULE, Name),
        py_registry:remove_runtime(Name)
    catch
        exit:_ -> ok
    end.

%% @private
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Inherited = take_handoff(),
    Configured = terrarium_config:get(runtimes),
    Names = lists:usort(maps:keys(Configured) ++ Inherited ++ py_runtime_cmd:remembered()),
    Children = [child(Name, maps:get(Name, Configured, #{})) || Name <- Names],
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, Children}}.

child(Name, Options) ->
    #{id => Name, start => {py_runtime, start_link, [Name, Options]},
      shutdown => terrarium_config:get(stop_timeout) + 3000}.

%% The descriptors are adopted once; nobody who comes later, and no program
%% that the VM starts, must see the variable.
take_handoff() ->
    Text = os:getenv(?HANDOFF_ENV, ""),
    true = os:unsetenv(?HANDOFF_ENV),
    Inherited = inherited(Text),
    lists:foreach(fun({Name, Fd}) -> py_registry:put_inherited(Name, Fd) end, Inherited),
    [Name || {Name, _} <- Inherited].

%% @doc Parse the launcher's variable.  What makes no sense is left out.
-spec inherited(string()) -> [{atom(), non_neg_integer()}].
inherited(Text) ->
    lists:flatmap(fun(Part) ->
                          case string:split(Part, "=", trailing) of
                              [[_ | _] = Name, Number] -> entry(Name, Number);
                              _ -> []
                          end
                  end, string:lexemes(Text, ",")).

entry(Name, Number) ->
    case string:to_integer(Number) of
        {Fd, ""} when is_integer(Fd), Fd >= 0 -> [{list_to_atom(Name), Fd}];
        _ -> []
    end.
